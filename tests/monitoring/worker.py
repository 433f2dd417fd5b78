"""One worker of `test_workers.py`, a process of its own: `python -m tests.monitoring.worker DATABASE CALLS ITEMS`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime

from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import Stream
from shared.core.state.outbox import Outlet
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import MonitorPlan, Ports, RunLimits
from shared.monitoring.sampling.strategies import RandomSample
from shared.scoring.metric import bind
from shared.scoring.runner import Runner

STREAM = Stream("many", "workers")
SEED = 3


class Many:
    """A source of so many items."""

    key = "many"

    def __init__(self, count: int) -> None:
        self._count = count

    def fetch(self, now: datetime) -> Iterator[DatasetItem]:
        for n in range(self._count):
            yield DatasetItem(id=f"i{n:04}", actual_output="x" * (n % 7))


class Lines:
    """A sink that appends a line for each item of a batch."""

    name = "lines"

    def __init__(self, path: str) -> None:
        self._path = path

    async def publish(self, batch: Batch) -> None:
        note(self._path, *(f"{batch.id} {result.item.id}" for result in batch.results))


def note(path: str, *lines: str) -> None:
    """Append lines in one write, so that those of several processes do not mix."""
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(file, "".join(f"{line}\n" for line in lines).encode())
    os.close(file)


def plan(calls: str, count: int, pace: float) -> MonitorPlan:
    """A draw of four fifths of the items for two metrics, one of which takes `pace` seconds."""

    async def slow(item: DatasetItem) -> float:
        note(calls, f"{item.id} {os.getpid()}")
        await asyncio.sleep(pace)
        return float(len(item.actual_output or "") % 2)

    def quick(item: DatasetItem) -> float:
        return len(item.actual_output or "") / 10

    runner = Runner([bind(slow, "Slow"), bind(quick, "Quick")])
    strategy = RandomSample(n=count * 4 // 5, seed=SEED)
    return MonitorPlan("workers", STREAM, Many(count), strategy, runner, limits=RunLimits(chunk=20))


def main(place: str, calls: str, count: str, pace: str) -> None:
    """Run once, and print what came of it."""
    database = open_database(place)
    ports = Ports(
        SqlScoredItems(database), build_run_state(database), (Outlet(Lines(f"{calls}.published")),), shared=True
    )
    print("ready", flush=True)
    while not os.path.exists(f"{calls}.go"):
        time.sleep(0.005)
    report = asyncio.run(run_monitor(plan(calls, int(count), float(pace)), ports))
    estimates = {each.label: [each.n, each.mean] for each in report.estimates}
    print(json.dumps({"scored": report.counts.scored, "estimates": estimates, "notes": report.notes}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
