"""The worked example of docs/judge-report.md is what the commands print."""

from __future__ import annotations

from pathlib import Path

from tests.wiring.project import ran

ROOT = Path(__file__).resolve().parents[2]


def command(*words: str, state: Path) -> str:
    sets = ("--set", f"scored_store.file_path={state}", "--set", "report.path=null")
    done = ran(ROOT, *words, *sets)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_worked_example_is_what_is_printed(tmp_path: Path) -> None:
    """Every line that `judge-report` prints before the items stands in the documentation, number for number."""
    command("run", "athena_judged", state=tmp_path / "state.db")
    told = command("judge-report", "athena_judged", state=tmp_path / "state.db").partition("  where they differ")[0]
    indented = "".join(f"    {line}\n" if line else "\n" for line in told.splitlines())
    assert indented in (ROOT / "docs" / "judge-report.md").read_text()
