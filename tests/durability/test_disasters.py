"""A state that is copied at any moment, clocks that jump, full disks: the rows of one clean run. More of each, and
workers that stand still, in `benchmarks/runs/disasters.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.durability import disasters
from tests.durability.kills import Clean, run_clean
from tests.durability.making import Making, making
from tests.durability.subject import Kind
from tests.durability.warm import Warm


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm() as found:
        yield found


@pytest.fixture
def monitors(tmp_path: Path) -> Iterator[Making]:
    with making(Kind(items=60, drawn=50, slow=0.01), tmp_path) as found:
        yield found


@pytest.fixture
def clean(warm: Warm, monitors: Making) -> Clean:
    return run_clean(warm, monitors.made("clean"))


@pytest.mark.slow
def test_copies_go_on_to_the_same_rows(warm: Warm, monitors: Making, clean: Clean) -> None:
    """Also while the original runs on: each has state and sink files of its own."""
    trial = disasters.continue_copies(warm, monitors, clean, Random(5), 4)
    assert trial.ways
    assert (trial.lost, trial.double, trial.early) == ([], [], [])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_clocks_that_jump_by_a_year(warm: Warm, monitors: Making, clean: Clean, seed: int) -> None:
    """Ahead and back, between runs that are killed."""
    trial = disasters.jump_clocks(warm, monitors.made(f"{seed}"), clean, Random(seed), 4)
    assert (trial.lost, trial.double, trial.early) == ([], [], [])


@pytest.mark.slow
def test_files_that_cannot_grow(warm: Warm, monitors: Making, clean: Clean) -> None:
    """A run that meets the limit ends with an error, and a later one finishes its work."""
    trial = disasters.limit_files(warm, monitors.made("full"), clean, Random(3), 4)
    assert "full" in trial.ways
    assert (trial.lost, trial.double, trial.early) == ([], [], [])
