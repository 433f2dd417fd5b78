"""What whoever watches a run is shown: its stages in their order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shared.core.state.outbox import Outlet
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import Ports
from tests.monitoring.test_pipeline import House, ListSource, Shelf, items


class StageRecorder:
    """Progress that keeps what it was shown."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.steps = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))

    def advance(self, steps: int = 1) -> None:
        self.steps += steps


def watch_run(folder: Path, *sinks: Outlet) -> StageRecorder:
    """What one run of a monitor over three items shows."""
    house, recorder = House(folder, ListSource(items(3))), StageRecorder()
    ports = Ports(house.scored, house.state, sinks, clock=lambda: house.now, progress=recorder)
    asyncio.run(run_monitor(house.plan, ports))
    return recorder


def test_every_stage_of_a_run_is_shown(tmp_path: Path) -> None:
    """Publishing may take longest, so it is a stage of its own; three items are read, and three are scored."""
    found = watch_run(tmp_path, Outlet(Shelf()))
    assert found.stages == [("reading", None), ("scoring", 3), ("publishing", None)]
    assert found.steps == 6


def test_a_run_without_a_sink_shows_no_publishing(tmp_path: Path) -> None:
    """There is nothing to wait for."""
    assert [name for name, _ in watch_run(tmp_path).stages] == ["reading", "scoring"]
