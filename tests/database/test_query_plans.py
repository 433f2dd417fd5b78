"""Statements of a run need no planner statistics: on a stream that Postgres has never analysed, none reads it whole for
each row.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import Decision, Stream
from shared.core.state.outbox import Outlet
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.sampling.strategies import All
from shared.scoring.metric import bind, metric
from shared.scoring.runner import Runner
from tests.contracts.adapters.served import postgres_at

STREAM = Stream("list:plans", "plans")
ITEMS = 3000
LARGE = ("items", "decisions", "scores", "outbox", "score_aggregates", "unsampled_pages")


class Listed:
    key = STREAM.source_key

    def fetch(self, now: datetime) -> Iterator[DatasetItem]:
        return iter(DatasetItem(id=f"{n:08}", actual_output="a" if n % 7 else None) for n in range(ITEMS))


class Kept:
    """A sink for whole batches."""

    name = "kept"

    async def publish(self, batch: Batch) -> None:
        """Take it."""


@metric(version="1")
def sometimes(item: DatasetItem) -> float:
    if item.actual_output is None:
        raise ValueError("no answer")
    return 1.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(postgres_at(tmp_path))
    with opened.write() as connection:
        for table in LARGE:
            connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    yield opened
    opened.close()


def run(database: Database) -> None:
    runner = Runner([bind(sometimes, "Sometimes")])
    plan = MonitorPlan("plans", STREAM, Listed(), All(), runner)
    ports = Ports(SqlScoredItems(database), build_run_state(database), (Outlet(Kept()),), shared=True)
    asyncio.run(run_monitor(plan, ports))


def test_no_statement_of_a_run_reads_a_stream_for_each_row(database: Database) -> None:
    """Every statement of two runs and of reading them is explained with its own parameters, without any statistics."""
    seen: dict[str, Any] = {}

    def remember(_: object, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
        if re.match(r"\s*(SELECT|UPDATE|DELETE)", statement) and any(name in statement for name in LARGE):
            seen[statement] = parameters[0] if many else parameters

    sa.event.listen(database.engine, "before_cursor_execute", remember)
    run(database)
    run(database)
    samples = build_run_state(database).samples
    for part in range(3):
        left_out = [Decision(f"{part} {n}", False, 0.1, "random") for n in range(ITEMS)]
        samples.save_sample(f"run {part}", STREAM, left_out, [])
    reader = build_state_reader(database)
    reader.histories.read_histories(STREAM, "1 7")
    list(reader.results.read_results(STREAM))
    newest = reader.runs.newest_runs(STREAM, limit=1)[0]
    list(reader.results.read_results(STREAM, newest.run_id))
    reader.histories.read_histories(STREAM, "00000001")
    reader.results.read_spreads(STREAM, "Sometimes")
    sa.event.remove(database.engine, "before_cursor_execute", remember)
    assert len(seen) > 20
    slow = []
    with database.read() as connection:
        for statement, parameters in seen.items():
            lines = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)]
            if any("Nested Loop" in line for line in lines):
                slow.append("\n".join((statement, *lines)))
    assert not slow, "\n\n".join(slow)
