"""After a large sample Postgres' planner knows the tables that have grown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.core.results import Decision
from shared.core.state.run_stores import RunState
from shared.database.engine.database import Database, open_database
from shared.database.engine.table_statistics import MANY
from shared.database.runs.run_state import build_run_state
from shared.database.stores.sql_retention import read_sizes
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import STREAM
from tests.contracts.test_run_store import item, scored

TABLES = ("decisions", "items", "scores")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(postgres_at(tmp_path))
    with opened.write() as connection:
        for table in (*TABLES, "unsampled_pages"):
            connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    yield opened
    opened.close()


@pytest.fixture
def state(database: Database) -> RunState:
    return build_run_state(database)


def sample(state: RunState, ids: list[str]) -> None:
    """Store a sample of all of these."""
    made = [Decision(each, True, 1.0, "all") for each in ids]
    state.samples.save_sample("run-1", STREAM, made, (item(each) for each in ids))


def known_rows(database: Database) -> list[int]:
    """How many rows the planner thinks that the tables have; -1 where it never looked."""
    with database.read() as connection:
        query = "SELECT reltuples FROM pg_class WHERE relname = '{}' AND relkind = 'r'"
        return [int(connection.exec_driver_sql(query.format(each)).scalar_one()) for each in TABLES]


def test_a_large_sample_is_known_to_the_planner(database: Database, state: RunState) -> None:
    """Its items as soon as they are stored, its scores when they are; a small sample is left to autovacuum."""
    sample(state, ["small"])
    assert known_rows(database) == [-1, -1, -1]
    ids = [f"i{number}" for number in range(MANY)]
    sample(state, ids)
    assert known_rows(database) == [MANY + 1, MANY + 1, -1]
    for start in range(0, MANY, 1000):
        state.results.save_results("run-1", STREAM, [scored(each) for each in ids[start : start + 1000]])
    state.results.give_up(STREAM, 5)
    assert known_rows(database) == [MANY + 1, MANY + 1, MANY]


def test_a_planner_that_cannot_look_fails_nothing(
    database: Database, state: RunState, caplog: pytest.LogCaptureFixture
) -> None:
    """Another session holds the table; the sample is stored, and the log says what was left out."""
    with database.write() as connection:
        connection.exec_driver_sql("LOCK TABLE items IN SHARE UPDATE EXCLUSIVE MODE")
        sample(state, [f"i{number}" for number in range(MANY)])
    assert "looking at tables for the planner failed and was left out" in caplog.text
    assert state.samples.find_undecided(STREAM, ["i1", "new"]) == ["new"]


def test_pages_that_are_merged_again_and_again_leave_no_holes(database: Database, state: RunState) -> None:
    """The room of what was merged is used for what comes next, without waiting for autovacuum."""
    for run in range(20):
        left_out = [Decision(f"{run} {number}", False, 0.1, "random") for number in range(2000)]
        state.samples.save_sample(f"run-{run}", STREAM, left_out, [])
    size = {each.table: each.bytes for each in read_sizes(database)}["unsampled_pages"]
    assert size is not None and size / 40_000 < 50
