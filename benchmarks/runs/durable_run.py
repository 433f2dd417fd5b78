"""What a durable run costs an item: a whole run of a monitor over 10,000 items with one trivial metric and SQLite,
every draw, claim, score and mark on the disk (`synchronous=FULL`), beside a plain loop, beside the same steps as plain
SQL, and beside inspect_ai, which writes its log.

    python benchmarks/runs/durable_run.py [--items N] [--no-peers]

Promised: under 100 microseconds an item. The peer is installed by name into an environment of its own under
`benchmarks/.envs/`; rounds go round robin, so that what else the machine does meets all alike. "CPU" is the time of
our own process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import Stream
from shared.core.state.outbox import Outlet
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.sampling.strategies import All
from shared.scoring.metric import bind, metric
from shared.scoring.runner import Runner

HERE = Path(__file__).parents[1]
PEER = "inspect_ai==0.3.285"
STREAM = Stream("list:benchmark", "durable")
ROUNDS = 3


class Listed:
    """A source over a list."""

    key = STREAM.source_key

    def __init__(self, count: int) -> None:
        self.items = [
            DatasetItem(id=f"{i:08}", query="a question", actual_output="a", expected_output="a") for i in range(count)
        ]

    def fetch(self, now: datetime) -> Iterator[DatasetItem]:
        """All of them."""
        return iter(self.items)


class Nothing:
    """A sink that takes everything and keeps nothing."""

    name = "nothing"

    async def publish(self, batch: Batch) -> None:
        """Take it."""


@metric(fields={"pred": "actual_output", "gold": "expected_output"}, threshold=0.5)
def exact(pred: str, gold: str) -> float:
    """One when equal."""
    return float(pred == gold)


def durable(source: Listed, sinks: tuple[Nothing, ...] = ()) -> tuple[float, float]:
    """Seconds and CPU seconds of one run on a fresh database."""
    with tempfile.TemporaryDirectory(prefix="trueline-durable-") as folder:
        database = open_database(Path(folder, "state.db"))
        plan = MonitorPlan("durable", STREAM, source, All(), Runner([bind(exact, "Exact")]))
        ports = Ports(SqlScoredItems(database), build_run_state(database), tuple(map(Outlet, sinks)), shared=True)
        begun, used = time.perf_counter(), time.process_time()
        report = asyncio.run(run_monitor(plan, ports))
        took = time.perf_counter() - begun, time.process_time() - used
        assert report.counts.scored == report.counts.marked == len(source.items)
        database.close()
    return took


def loop(source: Listed) -> tuple[float, float]:
    """Seconds of a loop that remembers nothing."""
    begun, used = time.perf_counter(), time.process_time()
    assert sum(float(each.actual_output == each.expected_output) for each in source.items) == len(source.items)
    return time.perf_counter() - begun, time.process_time() - used


def bare_sql(source: Listed) -> tuple[float, float]:
    """Seconds of the same steps as plain SQL: decisions and items inserted, claimed in pages of a thousand, scores
    inserted and decisions advanced page by page, each step on the disk.
    """
    key = "source TEXT, monitor TEXT, item TEXT"
    with tempfile.TemporaryDirectory(prefix="trueline-durable-") as folder:
        base = sqlite3.connect(Path(folder, "bare.db"))
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            base.execute(f"PRAGMA {pragma}")
        base.execute(
            f"CREATE TABLE decided ({key}, run TEXT, drawn INT, chance REAL, rule TEXT, at TEXT, state TEXT, mine TEXT,"
            " marked TEXT, PRIMARY KEY (source, monitor, item)) WITHOUT ROWID"
        )
        base.execute("CREATE INDEX waiting ON decided (source, monitor, at, item) WHERE state = 'drawn'")
        base.execute(f"CREATE TABLE items ({key}, payload TEXT, at TEXT, PRIMARY KEY (source, monitor, item))")
        base.execute(
            f"CREATE TABLE scores ({key}, label TEXT, digest TEXT, run TEXT, value REAL, passed INT, at TEXT,"
            " PRIMARY KEY (source, monitor, item, label, digest))"
        )
        begun, used = time.perf_counter(), time.process_time()
        now, two = "2026-12-01 00:00:00", ("list:benchmark", "durable")
        base.executemany(
            "INSERT INTO decided VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            [(*two, each.id, "run", 1, 1.0, "all", now, "drawn", None, None) for each in source.items],
        )
        texts = ((each, {"query": each.query, "actual_output": each.actual_output}) for each in source.items)
        base.executemany("INSERT INTO items VALUES (?,?,?,?,?)", [(*two, e.id, json.dumps(t), now) for e, t in texts])
        base.commit()
        claim = "SELECT item FROM decided WHERE source=? AND monitor=? AND state='drawn' AND mine IS NULL LIMIT 1000"
        while page := base.execute(claim, two).fetchall():
            base.executemany(
                "UPDATE decided SET mine='w' WHERE source=? AND monitor=? AND item=?", [(*two, *each) for each in page]
            )
            base.commit()
            base.executemany(
                "INSERT INTO scores VALUES (?,?,?,?,?,?,?,?,?)",
                [(*two, *each, "Exact", "digest", "run", 1.0, 1, now) for each in page],
            )
            base.executemany(
                "UPDATE decided SET state='published', mine=NULL, marked=? WHERE source=? AND monitor=? AND item=?",
                [(now, *two, *each) for each in page],
            )
            base.commit()
        base.close()
        return time.perf_counter() - begun, time.process_time() - used


def peer(count: int) -> tuple[float, float]:
    """Seconds of inspect_ai over a tenth of the items, as if over all; its CPU seconds are not known here."""
    name = PEER.partition("==")[0]
    folder = HERE / ".envs" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qqq", PEER], check=True)
    script = str(HERE / "peers" / f"{name}_run.py")
    done = subprocess.run([str(python), script, str(count // 10)], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) * count / 1e6, float("nan")


def main() -> None:
    """Print microseconds per item, and ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--items", type=int, default=10_000)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args()
    gc.freeze()  # as the command line does
    source = Listed(chosen.items)
    works: dict[str, Callable[[], tuple[float, float]]] = {
        "plain loop": lambda: loop(source),
        "the same steps in SQL": lambda: bare_sql(source),
        "Trueline, durable": lambda: durable(source),
        "Trueline, with a sink": lambda: durable(source, (Nothing(),)),
    }
    if not chosen.no_peers:
        works[PEER] = lambda: peer(chosen.items)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            took[name].append(work())
    wall = {name: statistics.median(each[0] for each in found) for name, found in took.items()}
    cpu = {name: statistics.median(each[1] for each in found) for name, found in took.items()}
    print(f"one trivial metric over {chosen.items:,} items, microseconds per item, median of {ROUNDS}")
    for name in works:
        each, used = (seconds[name] / chosen.items * 1e6 for seconds in (wall, cpu))
        ratio = wall[name] / wall["Trueline, durable"]
        print(f"  {name:24} {each:10.2f}   CPU {used:8.2f}   {ratio:8.3f} x Trueline, durable")


if __name__ == "__main__":
    main()
