"""How long a store takes to tell which of 100,000 candidates it has not seen.

    python benchmarks/runs/dedup.py                       10 million ids in SQLite, a million in a CSV
    python benchmarks/runs/dedup.py --scale 0.01          a hundredth of that

The databases are built in a temporary folder (about 5 GB at full scale, half of it for a moment) and removed. Half of
the candidates are known. "Peak" is the largest resident memory of the process over what it had before the first look.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from shared.core.results import Stream
from shared.core.state.run_stores import ScoredItemsStore
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.files.scored_csv import CsvScoredItems

STREAM = Stream("langfuse:athena", "athena_recommendation")
CANDIDATES = 100_000
AT = "2026-01-01T00:00:00.000000Z"

_FILL = """
INSERT INTO decisions (source_key, monitor_key, item_id, run_id, drawn, probability, strategy, stratum, decided_at,
                       state, attempts, batch_id, marked_at)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
SELECT '{stream.source_key}', '{stream.monitor_key}', printf('%08x-0000-7000-8000-%012x', i, i),
       'athena-20260101T000000-abcdef', 1, 0.1, 'random', '', '{at}', 'published', 0,
       '6f6b7a0e-8f3c-5d0a-9f51-7d5a3c1e2b44', '{at}' FROM n
"""


def item_id(number: int) -> str:
    """The id of the n-th item, as long as a UUID."""
    return f"{number:08x}-0000-7000-8000-{number:012x}"


def candidates(known: int) -> list[str]:
    """Ids of which about half are among the first `known`, in no order."""
    rng = Random(1)
    return [item_id(rng.randrange(2 * known)) for _ in range(CANDIDATES)]


def fill_database(database: Database, count: int) -> None:
    """Put `count` scored items into the database."""
    with database.write() as connection:
        connection.exec_driver_sql(_FILL.format(count=count, stream=STREAM, at=AT))


def fill_csv(path: Path, count: int) -> None:
    """Put `count` scored items into a CSV."""
    with path.open("w", encoding="utf-8") as file:
        file.write("item_id,source_key,monitor_key,scored_at\n")
        file.writelines(f"{item_id(i)},{STREAM.source_key},{STREAM.monitor_key},{AT}\n" for i in range(count))


def peak() -> float:
    """The largest resident memory so far, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


def measure(what: str, ask: Callable[[list[str]], list[str]], ids: list[str], start: float) -> None:
    """Ask once and print what it took."""
    begun = time.perf_counter()
    unseen = ask(ids)
    seconds = time.perf_counter() - begun
    print(f"{what:56} {seconds:6.2f} s   {len(unseen):,} of {len(ids):,} unseen   peak +{peak() - start:.0f} MB")


def main() -> None:
    """Build, measure, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes (default 1)")
    rows, lines = (int(size * parser.parse_args().scale) for size in (10_000_000, 1_000_000))
    with tempfile.TemporaryDirectory(prefix="trueline-dedup-") as folder:
        database = open_database(Path(folder, "state.db"))
        fill_database(database, rows)
        ids, start = candidates(rows), peak()
        scored: ScoredItemsStore = SqlScoredItems(database)
        measure(f"SQLite, {rows:,} marks, first look", lambda each: scored.unseen(STREAM, each), ids, start)
        measure(f"SQLite, {rows:,} marks, warm", lambda each: scored.unseen(STREAM, each), ids, start)
        runs = build_run_state(database)
        measure(f"SQLite, {rows:,} decisions, warm", lambda each: runs.samples.find_undecided(STREAM, each), ids, start)
        database.close()
        path = Path(folder, "scored_items.csv")
        fill_csv(path, lines)
        ids, start = candidates(lines), peak()
        store = CsvScoredItems(path)
        measure(f"CSV, {lines:,} marks, whole file read", lambda each: store.unseen(STREAM, each), ids, start)
        measure(f"CSV, {lines:,} marks, the same object again", lambda each: store.unseen(STREAM, each), ids, start)


if __name__ == "__main__":
    main()
