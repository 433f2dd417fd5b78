"""The judged configuration on the shipped traces: a recording stands in for the model, and labels check it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.wiring.project import ran

ROOT = Path(__file__).resolve().parents[3]


def told(folder: Path, *arguments: str) -> str:
    """What a command prints, with a state of its own."""
    sets = ("--set", f"scored_store.file_path={folder / 'state.db'}")
    done = ran(ROOT, *arguments, *sets)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recorded_judge_scores_fails_and_is_corrected(tmp_path: Path) -> None:
    """A small real model judges 54 of 60 decisions and fails on 6 by name; labels show that it passes too few."""
    report = json.loads(
        told(tmp_path, "run", "athena_llm_judge", "--json", "--set", f"report.path={tmp_path / 'r.html'}")
    )
    assert (report["counts"]["scored"], report["failure_kinds"]) == (
        54,
        {"JudgeInjected": 5, "JudgeTruncated": 1},
    )
    page = (tmp_path / "r.html").read_text()
    assert "Judges against human labels" in page
    printed = told(tmp_path, "judge-report", "athena_llm_judge")
    assert "24 of them with human labels" in printed
    assert "use PPI++:" in printed
