"""What an item that is not sampled costs: bytes stored, bytes of memory while it is a candidate, and time.

    python benchmarks/runs/unsampled_items.py [--counts 100000,1000000] [--url postgresql://...]

For each number of candidates a run reads them, draws 100, stores the sample, and looks all of them up again. Stored are
the bytes of all tables with their indexes, over those of a fresh database; "rows" is what the same decisions take as
one row each, as an earlier version stored them (measured on a tenth). Memory is the peak of Python's allocations while
the candidates are read and the sample is stored, divided by their number; it includes what does not grow with them.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from random import Random
from uuid import UUID

import sqlalchemy as sa

from shared.core.records import DatasetItem
from shared.core.results import Stream
from shared.database.engine.database import Database, open_database
from shared.database.engine.row_mapping import chunks, key
from shared.database.runs.run_state import build_run_state
from shared.database.schema.tables import decisions
from shared.database.stores.sql_retention import read_sizes
from shared.monitoring.candidates import read_candidates
from shared.monitoring.read_plan import ReadPlan, UnscoredItems
from shared.monitoring.rescore_policy import RescorePolicy
from shared.monitoring.sampling.strategies import RandomSample, SamplingParams, TemporalDecay

STREAM = Stream("langfuse:athena", "athena_recommendation")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLE = 100
STRATEGIES: list[SamplingParams] = [RandomSample(n=SAMPLE), TemporalDecay(n=SAMPLE, half_life_hours=24)]


class Traces:
    """So many short traces with ids as long as a UUID."""

    key = STREAM.source_key

    def __init__(self, count: int) -> None:
        self._count = count

    def fetch(self, now: datetime) -> Iterator[DatasetItem]:
        """Each once, a second apart."""
        for number in range(self._count):
            at = datetime.fromtimestamp(now.timestamp() - number, UTC)
            yield DatasetItem(id=trace_id(number), query="Is hail covered?", source_timestamp=at)


def trace_id(number: int) -> str:
    """The id of a trace."""
    return str(UUID(bytes=md5(b"%d" % number, usedforsecurity=False).digest()))


def stored_bytes(database: Database) -> int:
    """The bytes of all tables."""
    return sum(each.bytes or 0 for each in read_sizes(database))


def sample(database: Database, count: int, strategy: SamplingParams) -> None:
    """Read the candidates, draw, and store the sample."""
    state = build_run_state(database, lambda: NOW)
    known = (state.samples.find_undecided,)
    unscored = UnscoredItems(STREAM)
    plan = ReadPlan(Traces(count), strategy, STREAM, RescorePolicy(), known, state.skipped, "run-1", unscored)
    read = asyncio.run(read_candidates(plan, NOW, lambda came: None))
    draw = strategy.draw(read.pool.candidates, Random(1))
    sampled = read.pool.read_sampled(draw.decisions)
    state.samples.save_sample("run-1", STREAM, draw.decisions, sampled)
    read.pool.close()


def bytes_of_rows(database: Database, count: int) -> float:
    """What an item took that was not sampled when it had a row."""
    before = stored_bytes(database)
    shared = {"run_id": "athena-20260101T000000-abcdef", "drawn": False, "probability": 0.1, "strategy": "random"}
    shared |= {"stratum": "", "decided_at": NOW, "state": "undrawn", "attempts": 0}
    with database.write() as connection:
        for part in chunks(range(-count, 0)):
            connection.execute(sa.insert(decisions), [key(STREAM, trace_id(each)) | shared for each in part])
    return (stored_bytes(database) - before) / count


def measure(address: str, count: int, strategy: SamplingParams) -> str:
    """One line of the table."""
    database = open_database(address)
    state = build_run_state(database)
    before = stored_bytes(database)
    tracemalloc.start()
    sample(database, count, strategy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stored = (stored_bytes(database) - before) / count
    ids = [trace_id(each) for each in range(0, count, max(1, count // 50_000))]
    start = time.process_time()
    found = sum(len(state.samples.find_undecided(STREAM, part)) for part in chunks(ids))
    known = (time.process_time() - start) / len(ids)
    assert found == 0
    rows = bytes_of_rows(database, count // 10)
    database.close()
    return f"{count:>12,}  {strategy.name:16}{stored:>8.1f}{rows:>8.1f}{peak / count:>10.0f}{known * 1e6:>14.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="100000,1000000", help="numbers of candidates")
    parser.add_argument("--url", help="an empty Postgres database for one count and one strategy, instead of SQLite")
    options = parser.parse_args()
    print("  candidates  strategy          stored    rows    memory  us to look up   (bytes each)")
    for count in map(int, options.counts.split(",")):
        for strategy in STRATEGIES[: 1 if options.url else None]:
            with tempfile.TemporaryDirectory() as folder:
                print(measure(options.url or str(Path(folder, "state.db")), count, strategy), flush=True)


if __name__ == "__main__":
    main()
