"""The promises of stored aggregates, on SQLite and on Postgres: at every moment they are those of the stored scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.records import DatasetItem
from shared.core.results import (
    Decision,
    ItemResult,
    MetricFailure,
    MetricRef,
    MetricScore,
    RunConfig,
    RunReport,
    Stream,
)
from shared.core.state.run_stores import RunState, StateReader
from shared.core.state.score_aggregates import DAY, FIVE_MINUTES, HOUR, AggregateKey, ScoreAggregate
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.schema.tables import runs, score_aggregates
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import NOW, OTHER_MONITOR, STREAM

EXACT = MetricRef("Exact", "exact_match", "1", "digest-exact")
SHORT = MetricRef("Short", "length", "1", "digest-length")
GROUP_BY = ("metadata.prompt_version", "environment")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A fresh database: a file, or a server."""
    opened = open_database(str(tmp_path / "state.db") if request.param == "sqlite" else postgres_at(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database, lambda: NOW)


@pytest.fixture
def reader(database: Database) -> StateReader:
    return build_state_reader(database)


def item(each: str, at: datetime | None = None, **metadata: object) -> DatasetItem:
    return DatasetItem(each, query=f"about {each}", source_timestamp=at, metadata=metadata)


def sample(store: RunState, items: Sequence[DatasetItem], run_id: str = "run-1", stream: Stream = STREAM) -> None:
    made = [Decision(each.id, True, 0.25, "random", "web") for each in items]
    store.samples.save_sample(run_id, stream, made, items)


def scored(each: DatasetItem, value: float = 0.5) -> ItemResult:
    return ItemResult(each, (MetricScore(EXACT, value, value >= 0.5, 0.5, "because"),))


def half_failed(each: DatasetItem, value: float = 0.5) -> ItemResult:
    failure = MetricFailure(SHORT, each.id, "TimeoutError", "judge took 30.0s")
    return scored(each, value)._replace(failures=(failure,))


def rounded(found: Mapping[AggregateKey, ScoreAggregate]) -> dict[AggregateKey, object]:
    """What aggregates hold, whatever the order in which they were merged."""
    return {
        key: (
            each.values.n,
            each.queued,
            each.low,
            each.high,
            each.two_valued,
            round(each.values.mean, 9),
            [round(number, 6) for sums in (each.values, each.verdicts) for number in sums.squares(0.0)],
            {place: round(weight, 6) for place, weight in each.sketch.items()},
        )
        for key, each in found.items()
        if each.values.n
    }


def all_widths(reader: StateReader, days: int = 400) -> list[dict[AggregateKey, object]]:
    """The aggregates of every width."""
    return [rounded(reader.results.read_aggregates(STREAM, days, width)) for width in (FIVE_MINUTES, HOUR, DAY)]


def test_days_are_those_of_the_items(store: RunState, reader: StateReader) -> None:
    """The window ends on the newest day that has a score; other streams have aggregates of their own."""
    items = [item(str(number), NOW - timedelta(days=number)) for number in range(5)]
    sample(store, items)
    store.results.save_results("run-1", STREAM, [scored(each, int(each.id) / 4) for each in items])
    found = reader.results.read_aggregates(STREAM, 3)
    assert {key.start.date(): each.values.mean for key, each in found.items()} == {
        date(2026, 2, 27): 0.5,
        date(2026, 2, 28): 0.25,
        date(2026, 3, 1): 0.0,
    }
    assert {(key.label, key.metric_digest, key.stratum, key.segment) for key in found} == {
        ("Exact", "digest-exact", "web", "")
    }
    assert {each.values.w for each in found.values()} == {4.0}
    assert reader.results.read_aggregates(OTHER_MONITOR, 3) == {}


def test_small_buckets_are_kept_for_a_while(store: RunState, reader: StateReader) -> None:
    """Five minutes for two days, hours for ninety, days for ever."""
    items = [item(str(days), NOW - timedelta(days=days)) for days in (0, 1, 3, 89, 91, 300)]
    sample(store, items)
    for each in reversed(items):
        store.results.save_results("run-1", STREAM, [scored(each)])
    sizes = [len(reader.results.read_aggregates(STREAM, 400, width)) for width in (FIVE_MINUTES, HOUR, DAY)]
    assert sizes == [2, 4, 6]


def test_a_clock_that_is_ahead_drops_nothing(database: Database, store: RunState, reader: StateReader) -> None:
    """What is recent is measured by the traces, too."""
    items = [item("a", NOW), item("b", NOW + timedelta(minutes=10))]
    sample(store, items)
    store.results.save_results("run-1", STREAM, [scored(items[0])])
    ahead = build_run_state(database, lambda: NOW + timedelta(days=365))
    ahead.results.save_results("run-1", STREAM, [scored(items[1])])
    assert len(reader.results.read_aggregates(STREAM, 2, FIVE_MINUTES)) == 2


def test_segments(database: Database) -> None:
    """Scores are aggregated by the declared fields of their items; what an item lacks is null."""
    store, reader = build_run_state(database, lambda: NOW, group_by=GROUP_BY), build_state_reader(database, GROUP_BY)
    store.reports.save_run(RunReport("run-1", "m", STREAM, RunConfig("c"), "running", NOW))
    items = [item("a", NOW, prompt_version=1), item("b", NOW, prompt_version=2), item("c", NOW)]
    sample(store, items)
    store.results.save_results("run-1", STREAM, [scored(each) for each in items])
    found = [json.loads(key.segment) for key in reader.results.read_aggregates(STREAM, 1)]
    expected = [{"environment": None, "metadata.prompt_version": each} for each in (None, 1, 2)]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    before = all_widths(reader)
    store.aggregates.rebuild(STREAM)
    assert all_widths(reader) == before


def test_a_field_of_many_values_makes_few_segments(database: Database) -> None:
    """A user id as a segment must not make a row of each score; what is beyond the limit counts without a segment."""
    store = build_run_state(database, lambda: NOW, group_by=("metadata.user",))
    items = [item(f"{number:04}", NOW, user=f"user {number}") for number in range(500)]
    sample(store, items)
    for part in (items[:300], items[300:]):
        store.results.save_results("run-1", STREAM, [scored(each) for each in part])
    found = build_state_reader(database).results.read_aggregates(STREAM, 1)
    assert len(found) == 201
    assert sum(each.values.n for each in found.values()) == 500


def test_scores_of_before_count_at_once(database: Database, store: RunState, reader: StateReader) -> None:
    """State that is older than the aggregates gives the same numbers before, while and after its runs are added."""
    for number in range(3):
        run_id = f"run-{number}"
        store.reports.save_run(RunReport(run_id, "m", STREAM, RunConfig("c"), "done", NOW + timedelta(hours=number)))
        items = [item(f"{number}{each}", NOW - timedelta(minutes=each)) for each in range(4)]
        sample(store, items, run_id)
        store.results.save_results(run_id, STREAM, [scored(each, number / 4) for each in items])
    before = all_widths(reader)
    with database.write() as connection:  # as the migration leaves it
        connection.execute(sa.delete(score_aggregates))
        connection.execute(sa.update(runs).values(aggregated=False))
    assert all_widths(reader) == before
    assert store.aggregates.add_older(STREAM, seconds=0.0) == 3
    store.results.save_results("run-1", STREAM, [scored(item("10", NOW))])
    assert all_widths(reader) == before
    assert store.aggregates.add_older(STREAM) == 0
    assert all_widths(reader) == before


_steps = st.lists(
    st.tuples(st.sampled_from(["score", "fail", "again", "clear", "rebuild"]), st.integers(0, 5), st.integers(0, 4)),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_aggregates_are_those_of_the_scores(database: Database, steps: list[tuple[str, int, int]]) -> None:
    """Whatever was tried again, stored twice or cleared: built anew from the scores the aggregates are the same."""
    store, reader = build_run_state(database, lambda: NOW), build_state_reader(database)
    store.reports.save_run(RunReport("run-1", "m", STREAM, RunConfig("c"), "running", NOW))
    items = [item(str(number), NOW - timedelta(minutes=7 * number)) for number in range(6)]
    sample(store, items)
    for what, number, quarter in steps:
        one, value = items[number], quarter / 4
        if what == "clear":
            SqlScoredItems(database).mark(STREAM, [one.id], NOW)
            SqlScoredItems(database).clear(STREAM)
        elif what == "rebuild":
            store.aggregates.rebuild(STREAM)
        else:
            made = half_failed(one, value) if what == "fail" else scored(one, value)
            for _ in range(1 + (what == "again")):
                store.results.save_results("run-1", STREAM, [made])
    kept = all_widths(reader)
    store.aggregates.rebuild(STREAM)
    assert all_widths(reader) == kept
    SqlScoredItems(database).clear()
    with database.write() as connection:
        for table in reversed(score_aggregates.metadata.sorted_tables):
            connection.execute(sa.delete(table))


def test_days_are_days_of_utc(store: RunState, reader: StateReader) -> None:
    """A trace of one minute past midnight belongs to the new day, whatever its own zone."""
    late = item("a", datetime.fromisoformat("2026-03-01T00:01:00+09:00"))
    sample(store, [late])
    store.results.save_results("run-1", STREAM, [scored(late)])
    (key,) = reader.results.read_aggregates(STREAM, 1)
    assert key.start == datetime(2026, 2, 28, tzinfo=UTC)
