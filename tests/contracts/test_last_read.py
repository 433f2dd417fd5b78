"""When a stream's window was last read: what a run begins from, so that nothing falls between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.core.results import RunConfig, RunCounts, RunReport, Status
from shared.core.state.run_stores import RunState, StateReader
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import NOW, OTHER_SOURCE, STREAM


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "s.db" if request.param == "sqlite" else postgres_at(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database)


@pytest.fixture
def reader(database: Database) -> StateReader:
    return build_state_reader(database)


def after(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def ran(store: RunState, hours: float, status: Status, **counts: int) -> None:
    run = RunReport(f"r{hours}", "m", STREAM, RunConfig("d"), status, after(hours), counts=RunCounts(**counts))
    store.reports.save_run(run)


def test_a_stream_without_runs_was_never_read(store: RunState, reader: StateReader) -> None:
    assert reader.runs.last_read(STREAM) is None


def test_it_is_the_beginning_of_the_newest_run_that_ended(store: RunState, reader: StateReader) -> None:
    for hour, status in enumerate(("done", "nothing_new", "unpublished", "over_budget")):
        ran(store, hour, status)  # type: ignore[arg-type]
        assert reader.runs.last_read(STREAM) == after(hour)
    assert reader.runs.last_read(OTHER_SOURCE) is None


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("failed", {}),
        ("interrupted", {}),
        ("running", {}),
        ("done", {"read": 10, "cut": 1}),
        ("too_many_failures", {"read": 10, "broken": 9}),
    ],
)
def test_a_run_that_did_not_read_everything_does_not_count(
    store: RunState, status: Status, counts: dict[str, int], reader: StateReader
) -> None:
    """Killed, failed, cut short by a limit, or full of broken records: the next run begins where the one before did."""
    ran(store, 1, "done")
    ran(store, 2, status, **counts)
    assert reader.runs.last_read(STREAM) == after(1)


def test_a_run_that_was_behind_counts_as_so_much_earlier(store: RunState, reader: StateReader) -> None:
    ran(store, 2, "done", behind=1800)
    assert reader.runs.last_read(STREAM) == after(1.5)
    ran(store, 3, "done", cut=1)
    assert reader.runs.last_read(STREAM) == after(1.5)


def test_metrics_that_failed_do_not_make_a_run_read_again(store: RunState, reader: StateReader) -> None:
    ran(store, 1, "done")
    ran(store, 2, "too_many_failures", read=10, failures=9)
    assert reader.runs.last_read(STREAM) == after(2)


def test_when_no_run_ever_read_everything_it_is_the_first_one(store: RunState, reader: StateReader) -> None:
    ran(store, 1, "failed")
    ran(store, 2, "interrupted")
    assert reader.runs.last_read(STREAM) == after(1)


def test_a_run_from_the_future_is_not_trusted(store: RunState, reader: StateReader) -> None:
    """A clock was ahead: neither now nor when its time has come does such a run hide what came before."""
    ran(store, 1, "done")
    ran(store, 10, "done", behind=7)
    assert reader.runs.last_read(STREAM) == after(10) - timedelta(seconds=7)
    store.reports.distrust_runs_after(STREAM, after(2))
    assert reader.runs.last_read(STREAM) == after(1)
    store.reports.distrust_runs_after(STREAM, after(3))
    assert reader.runs.last_read(STREAM) == after(1)
    ran(store, 11, "done")
    assert reader.runs.last_read(STREAM) == after(11)


def test_without_an_earlier_run_now_is_what_is_known(store: RunState, reader: StateReader) -> None:
    """And other streams are none of it."""
    ran(store, 10, "done")
    store.reports.distrust_runs_after(OTHER_SOURCE, after(2))
    assert reader.runs.last_read(STREAM) == after(10)
    store.reports.distrust_runs_after(STREAM, after(2))
    assert reader.runs.last_read(STREAM) == after(2)
