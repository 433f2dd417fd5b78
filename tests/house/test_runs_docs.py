"""The worked example of docs/runs.md is what the commands print."""

from __future__ import annotations

import json
from pathlib import Path

from tests.wiring.project import ran

ROOT = Path(__file__).resolve().parents[2]
CHANGED = ("--set", "metrics_config.Retrieval.k=1", "--set", "metrics_config.Reasons.threshold=0.9")


def command(*words: str, state: Path) -> str:
    sets = ("--set", f"scored_store.file_path={state}", "--set", "report.path=null")
    done = ran(ROOT, *words, *sets)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_worked_example_is_what_is_printed(tmp_path: Path) -> None:
    """All that `compare` prints below the two runs' ids and times stands in the documentation, number for number."""
    state = tmp_path / "state.db"
    command("run", "demo", "--no-dedup", "--quiet", state=state)
    command("run", "demo", "--no-dedup", "--quiet", *CHANGED, state=state)
    later, earlier = (each["run_id"] for each in json.loads(command("runs", "demo", "--json", state=state)))
    told = command("compare", "demo", earlier, later, state=state).splitlines()[2:]
    indented = "".join(f"    {line}\n" if line else "\n" for line in told)
    assert indented in (ROOT / "docs" / "runs.md").read_text()
