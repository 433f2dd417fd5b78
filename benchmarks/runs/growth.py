"""How a run's cost grows with its items, on SQLite and on a Postgres whose planner knows nothing of the stream.

    python benchmarks/runs/growth.py [--items 5000 20000 100000]

A whole run with one trivial metric on a fresh database, without ANALYZE before it; microseconds per item, and beside
them the floor: the same rows of decisions and scores by a bare executemany on SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.runs.durable_run import STREAM, Listed, exact  # noqa: E402  # after the path
from shared.core.state.outbox import Outlet  # noqa: E402
from shared.database.engine.database import open_database  # noqa: E402
from shared.database.runs.run_state import build_run_state  # noqa: E402
from shared.database.runs.sql_scored_items import SqlScoredItems  # noqa: E402
from shared.monitoring.pipeline import run_monitor  # noqa: E402
from shared.monitoring.plan import MonitorPlan, Ports  # noqa: E402
from shared.monitoring.sampling.strategies import All  # noqa: E402
from shared.scoring.metric import bind  # noqa: E402
from shared.scoring.runner import Runner  # noqa: E402


def run_on(address: str, count: int) -> float:
    """Microseconds per item of one run."""
    source = Listed(count)
    database = open_database(address)
    plan = MonitorPlan("growth", STREAM, source, All(), Runner([bind(exact, "Exact")]))
    sinks: tuple[Outlet, ...] = ()
    ports = Ports(SqlScoredItems(database), build_run_state(database), sinks, shared=True)
    begun = time.perf_counter()
    report = asyncio.run(run_monitor(plan, ports))
    took = time.perf_counter() - begun
    assert report.counts.scored == count
    database.close()
    return took / count * 1e6


def floor(address: str, count: int) -> float:
    """Microseconds per item of bare inserts of the same two rows."""
    connection = sqlite3.connect(address)
    connection.execute("CREATE TABLE d (a, b, c, d, e, f, g, h, i, j, PRIMARY KEY (a, b, c)) WITHOUT ROWID")
    connection.execute("CREATE TABLE s (a, b, c, d, e, f, g, h, i, j, k, l, m, PRIMARY KEY (a, b, c, d, e))")
    begun = time.perf_counter()
    for start in range(0, count, 1000):
        ids = [f"{n:08}" for n in range(start, min(count, start + 1000))]
        with connection:
            connection.executemany(
                "INSERT INTO d VALUES (?,?,?,?,?,?,?,?,?,?)", [("a", "b", n, *"defghij") for n in ids]
            )
            rows = [("a", "b", n, *"defghijklm") for n in ids]
            connection.executemany("INSERT INTO s VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
    took = time.perf_counter() - begun
    connection.close()
    return took / count * 1e6


def main() -> None:
    """Print a row for each number of items."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--items", type=int, nargs="+", default=[5_000, 20_000, 100_000])
    from tests.contracts.adapters.served import empty_postgres

    print(
        f"{'items':>8}  {'floor':>8}  {'SQLite':>8}  {'Postgres':>8}  {'Postgres/SQLite':>15}   microseconds per item"
    )
    for count in options.parse_args().items:
        with tempfile.TemporaryDirectory(prefix="trueline-growth-") as folder:
            bare = floor(str(Path(folder, "floor.db")), count)
            sqlite = run_on(str(Path(folder, "state.db")), count)
            postgres = run_on(empty_postgres(f"growth_{count}"), count)
        print(f"{count:>8,}  {bare:>8.1f}  {sqlite:>8.1f}  {postgres:>8.1f}  {postgres / sqlite:>15.2f}")


if __name__ == "__main__":
    main()
