"""Killing a run at any point and running again gives the same final rows as one clean run. More of it in
`benchmarks/runs/kills.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.durability.kills import Trial, finish, run_clean, run_killed, run_together
from tests.durability.making import making
from tests.durability.subject import Kind
from tests.durability.warm import Warm

KILLS = 6


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "store"),
    [("file", "sqlite"), ("file", "csv"), ("file", "postgres"), ("langfuse", "sqlite"), ("langfuse", "postgres")],
)
def test_kills_leave_no_trace_in_the_final_rows(tmp_path: Path, warm: Warm, source: str, store: str) -> None:
    """No score lost, none double, none marked before every sink had it: in the database, the files and Langfuse."""
    chance = Random(7)
    trials: list[Trial] = []
    with making(Kind(source, store, items=90, drawn=70), tmp_path) as monitors:
        clean = run_clean(warm, monitors.made("clean"))
        while sum(len(trial.steps) for trial in trials) < KILLS:
            trials.append(run_killed(warm, monitors.made(f"killed{len(trials)}"), clean, chance, KILLS))
    for trial in trials:
        assert (trial.lost, trial.double, trial.early) == ([], [], []), trial


@pytest.mark.slow
@pytest.mark.parametrize(("source", "store"), [("file", "sqlite"), ("langfuse", "postgres")])
def test_workers_at_once_of_which_some_are_killed(tmp_path: Path, warm: Warm, source: str, store: str) -> None:
    """Two, and four with kills among them: every item has exactly one score of each metric."""
    chance = Random(3)
    with making(Kind(source, store, items=120, drawn=90), tmp_path) as monitors:
        clean = run_clean(warm, monitors.made("clean"))
        for workers, kills in ((2, 0), (4, 3)):
            trial = run_together(warm, monitors.made(f"by{workers}"), clean, chance, workers, kills)
            assert (trial.lost, trial.double, trial.early) == ([], [], []), trial


def test_a_comparison_sees_what_is_lost_and_what_is_double(tmp_path: Path, warm: Warm) -> None:
    """The proof is able to fail: a score more and a score less are found."""
    with making(Kind(items=20, drawn=15, slow=0.0), tmp_path) as monitors:
        clean = run_clean(warm, monitors.made("clean"))
        other = monitors.made("other")
        finish(warm, other)
        files = list((other.folder / "out").rglob("*.jsonl"))
        lines = files[0].read_text().splitlines()
        files[0].write_text("\n".join([*lines[1:], lines[3]]))
        rows = other.rows()
    assert len(rows.lost(clean.rows)) == len(rows.double(clean.rows)) == 1
    assert other.early()
