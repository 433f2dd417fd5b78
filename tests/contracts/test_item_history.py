"""`ItemHistoryReader`: all that is stored of one item, on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.core.results import MetricFailure
from shared.core.state.item_history import FailureRecord, ScoreRecord
from shared.core.state.run_stores import RunState, StateReader
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from tests.contracts.adapters.outboxes import deliver, packed
from tests.contracts.adapters.stores import AWKWARD, NOW, OTHER_MONITOR, STREAM
from tests.contracts.test_run_store import EXACT, LENGTH, RUN, Ticking, decision, draw, failed, item, scored


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database, Ticking())


@pytest.fixture
def reader(database: Database) -> StateReader:
    return build_state_reader(database)


def test_the_story_holds_every_step_with_its_run_and_time(store: RunState, reader: StateReader) -> None:
    """Drawn by one run, failed and scored by the next ones, published at the end."""
    draw(store, ["a"])
    half = scored("a")._replace(failures=failed("a", LENGTH).failures)
    store.results.save_results("run-2", STREAM, [half])
    store.results.save_results("run-3", STREAM, [failed("a", LENGTH)])
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert (story.run_id, story.decided_at, story.decision) == ("run-1", NOW + timedelta(minutes=1), decision("a"))
    assert (story.state, story.attempts, story.marked_at, story.item) == ("failed", 2, None, item("a"))
    assert story.scores == (ScoreRecord(half.scores[0], "run-2", NOW + timedelta(minutes=2)),)
    failure = MetricFailure(LENGTH, "a", "TimeoutError", "judge took 30.0s")
    assert story.failures == (
        FailureRecord(failure, 1, "run-2", NOW + timedelta(minutes=2)),
        FailureRecord(failure, 2, "run-3", NOW + timedelta(minutes=3)),
    )
    assert story.missing == story.failures[1:]
    store.results.give_up(STREAM, 2)
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None
    deliver(store.outbox, STREAM)
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert (story.state, story.batch_id, story.marked_at) == ("published", batch.id, NOW)


def test_a_score_by_any_version_of_a_metric_leaves_nothing_missing(store: RunState, reader: StateReader) -> None:
    draw(store, ["a"])
    store.results.save_results("run-1", STREAM, [failed("a")])
    store.results.save_results("run-2", STREAM, [scored("a", ref=replace(EXACT, digest="later"))])
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert (len(story.failures), story.missing) == (1, ())


def test_an_undrawn_item_has_a_decision_and_nothing_else(store: RunState, reader: StateReader) -> None:
    store.samples.save_sample("run-1", STREAM, [decision("a", drawn=False)], [])
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert (story.state, story.item, story.scores, story.failures) == ("undrawn", None, (), ())


def test_an_item_marked_from_outside_has_no_run(store: RunState, reader: StateReader, database: Database) -> None:
    SqlScoredItems(database).mark(STREAM, ["a"], NOW)
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert (story.run_id, story.state, story.marked_at) == ("", "published", NOW)


def test_the_first_mark_stays(store: RunState, reader: StateReader, database: Database) -> None:
    """Marked again, an item keeps the time at which it was processed; one that is new gets its own."""
    marks = SqlScoredItems(database)
    marks.mark(STREAM, ["a"], NOW)
    marks.mark(STREAM, ["a", "b"], NOW + timedelta(days=1))
    found = [reader.histories.read_histories(STREAM, each)[0].marked_at for each in "ab"]
    assert found == [NOW, NOW + timedelta(days=1)]


def test_an_item_never_seen_has_no_story(store: RunState, reader: StateReader) -> None:
    """Also one that another stream has seen."""
    draw(store, ["a"], OTHER_MONITOR)
    assert reader.histories.read_histories(STREAM, "a") == []


@pytest.mark.parametrize("item_id", AWKWARD)
def test_any_id_can_be_asked_for(store: RunState, item_id: str, reader: StateReader) -> None:
    draw(store, [*AWKWARD, "%", "_"])
    assert [each.decision.item_id for each in reader.histories.read_histories(STREAM, item_id)] == [item_id]


def test_all_versions_of_an_item_are_told_oldest_first(store: RunState, reader: StateReader) -> None:
    """By the source's id all, by a stored id that one; ids that only begin alike are other items."""
    first, second = f"a@{'f' * 16}", f"a@{'0' * 16}"
    draw(store, [first])
    draw(store, [second, "a@example.com", f"a@{'g' * 16}", f"ab@{'0' * 16}", f"a@b@{'0' * 16}"])
    assert [each.decision.item_id for each in reader.histories.read_histories(STREAM, "a")] == [first, second]
    assert [each.decision.item_id for each in reader.histories.read_histories(STREAM, first)] == [first]


def test_ids_near_are_those_of_the_stream_around_it(store: RunState, reader: StateReader) -> None:
    """As their source gave them, each once, at most 500 on either side."""
    draw(store, [f"i{number:04}" for number in range(1200)] + [f"i0600@{'a' * 16}"])
    draw(store, ["other"], OTHER_MONITOR)
    near = reader.histories.nearby_ids(STREAM, "i0599x")
    assert near[0] == "i0100" and near.count("i0600") == 1 and "i0599" in near
    assert 990 < len(near) <= 1000
    assert reader.histories.nearby_ids(OTHER_MONITOR, "x") == ["other"]
