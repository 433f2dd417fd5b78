"""The promises of the stores and readers of runs, on SQLite and on Postgres."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.counts import ModelUsage, Spending
from shared.core.errors import BusyError, StoreError
from shared.core.records import DatasetItem
from shared.core.results import (
    Decision,
    Estimate,
    ItemResult,
    MetricFailure,
    MetricRef,
    MetricScore,
    ResultOutline,
    RunConfig,
    RunCounts,
    RunReport,
    Stream,
)
from shared.core.state.run_stores import RunState, StateReader
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from tests.contracts.adapters.outboxes import deliver, packed, waiting_batches
from tests.contracts.adapters.processes import line, started
from tests.contracts.adapters.run_states import waiting_items
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import AWKWARD, NOW, OTHER_MONITOR, STREAM

EXACT = MetricRef("Exact", "exact_match", "1", "digest-exact")
LENGTH = MetricRef("Short", "length", "1", "digest-length")
RUN = RunReport("run-1", "athena", STREAM, RunConfig("config"), "running", NOW)


class Ticking:
    """A clock that is a minute later each time."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture(params=["sqlite", "postgres"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database is: a file, or a server."""
    return str(tmp_path / "state.db") if request.param == "sqlite" else postgres_at(tmp_path)


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database, Ticking())


@pytest.fixture
def reader(database: Database) -> StateReader:
    return build_state_reader(database)


def item(each: str, **fields: object) -> DatasetItem:
    return DatasetItem.from_dict({"id": each, "query": f"about {each}", **fields})


def decision(each: str, drawn: bool = True, stratum: str = "") -> Decision:
    return Decision(each, drawn, 0.25, "random", stratum)


def draw(store: RunState, ids: Sequence[str], stream: Stream = STREAM, run_id: str = "run-1") -> None:
    store.samples.save_sample(run_id, stream, [decision(each) for each in ids], [item(each) for each in ids])


def scored(each: str, value: float = 0.5, ref: MetricRef = EXACT) -> ItemResult:
    return ItemResult(item(each), (MetricScore(ref, value, value >= 0.5, 0.5, "because"),))


def failed(each: str, ref: MetricRef = EXACT) -> ItemResult:
    return ItemResult(item(each), (), (MetricFailure(ref, each, "TimeoutError", "judge took 30.0s"),))


def waiting(store: RunState, stream: Stream = STREAM, max_attempts: int = 3) -> list[str]:
    return [each.item.id for each in waiting_items(store, stream, max_attempts)]


def test_it_fills_the_ports(store: RunState, reader: StateReader) -> None:
    """The flows know the ports only."""
    writes: RunState = store
    reads: StateReader = reader
    assert writes.samples.find_undecided(STREAM, ["b", "a", "b"]) == ["b", "a"]
    assert reads.runs.newest_runs() == []


def test_a_draw_is_stored_with_its_probabilities(store: RunState) -> None:
    """Undrawn items are decided too, and drawn ones come back as they were, with their decision."""
    first = replace(decision("a"), stratum="web")
    store.samples.save_sample(
        "run-1", STREAM, [first, decision("b", drawn=False)], [item("a", metadata={"channel": "web"})]
    )
    assert store.samples.find_undecided(STREAM, ["c", "b", "a"]) == ["c"]
    (only,) = waiting_items(store, STREAM, 3)
    assert only.item == item("a", metadata={"channel": "web"})
    assert (only.decision, only.have, only.attempts) == (first, (), 0)


def test_the_first_decision_stands(store: RunState) -> None:
    """An item that was not drawn never re-enters by a later draw, and a drawn one keeps its probability and content."""
    store.samples.save_sample("run-1", STREAM, [decision("a"), decision("b", drawn=False)], [item("a")])
    later = [replace(decision(each), probability=1.0, strategy="all") for each in "abc"]
    store.samples.save_sample("run-2", STREAM, later, [item(each, critique="edited") for each in "abc"])
    assert [(each.item, each.decision) for each in waiting_items(store, STREAM, 3)] == [
        (item("a"), decision("a")),
        (item("c", critique="edited"), later[2]),
    ]


def test_streams_have_draws_of_their_own(store: RunState) -> None:
    """Two monitors on one source decide about the same item separately."""
    draw(store, ["a", *AWKWARD])
    assert store.samples.find_undecided(OTHER_MONITOR, ["a", *AWKWARD]) == ["a", *AWKWARD]
    draw(store, ["a"], OTHER_MONITOR)
    store.results.save_results("run-1", STREAM, [scored("a")])
    assert waiting(store, OTHER_MONITOR) == ["a"]
    assert sorted(waiting(store)) == sorted(AWKWARD)


def test_a_draw_without_its_items_is_refused_whole(store: RunState) -> None:
    """A drawn item that never came would wait for ever, so nothing of such a draw is stored."""
    with pytest.raises(StoreError, match="1 sampled items did not come with the sample, such as 'b'"):
        store.samples.save_sample("run-1", STREAM, [decision("a"), decision("b")], [item("a")])
    assert store.samples.find_undecided(STREAM, ["a", "b"]) == ["a", "b"]


def test_a_draw_that_fails_in_the_middle_is_not_stored(store: RunState) -> None:
    """When the source breaks while the items are fetched, the next run draws anew."""

    def items() -> Iterator[DatasetItem]:
        yield item("a")
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        store.samples.save_sample("run-1", STREAM, [decision("a"), decision("b")], items())
    assert store.samples.find_undecided(STREAM, ["a", "b"]) == ["a", "b"]


def test_a_draw_killed_in_the_middle_is_not_stored(path: str, store: RunState) -> None:
    """kill -9 between two items of a draw leaves nothing of it."""
    ids = [f"item-{number}" for number in range(3000)]
    with started("draw_half", path, ",".join(ids)) as child:
        assert line(child) == "half"
        child.kill()
        child.wait()
    assert store.samples.find_undecided(STREAM, ids) == ids
    assert waiting(store) == []
    draw(store, ids)
    assert sorted(waiting(store)) == sorted(ids)


def test_oldest_draw_first_each_once(store: RunState) -> None:
    """What waits longest is scored first, over any number of pages."""
    first, second = ([f"{prefix}{number:04}" for number in range(700)] for prefix in "zy")
    draw(store, first)
    draw(store, second)
    assert waiting(store) == first + second


def test_results_may_be_saved_while_reading(store: RunState) -> None:
    """The runner saves what it has while more is read: nothing is skipped, nothing comes twice, failures wait."""
    ids = [f"{number:04}" for number in range(1300)]
    draw(store, ids)
    seen: list[str] = []
    with store.claims.work_on(STREAM, "run-1", 3) as claims:
        while page := claims.take_next(130):
            seen += [each.item.id for each in page]
            results = [failed(each) if int(each) % 3 == 2 else scored(each) for each in seen[-130:]]
            store.results.save_results("run-1", STREAM, results, claims.worker)
    assert seen == ids
    assert waiting(store) == ids[2::3]


def test_a_failed_item_comes_again_with_what_it_has(store: RunState) -> None:
    """Only the metrics that failed are tried again, and only so often."""
    draw(store, ["a"])
    half = ItemResult(item("a"), scored("a").scores, failed("a", LENGTH).failures)
    store.results.save_results("run-1", STREAM, [half])
    (again,) = waiting_items(store, STREAM, 2)
    assert (again.have, again.attempts) == (scored("a").scores, 1)
    assert packed(store.outbox, RUN, 10) is None
    store.results.save_results("run-2", STREAM, [failed("a", LENGTH)])
    assert (waiting(store, max_attempts=2), waiting(store, max_attempts=3)) == ([], ["a"])
    assert packed(store.outbox, RUN, 10) is None


def test_an_item_that_is_given_up_is_published_with_what_it_has(store: RunState) -> None:
    """One metric that always fails on an item does not keep its other scores from the sinks for ever."""
    draw(store, ["a", "b"])
    half = ItemResult(item("a"), scored("a").scores, failed("a", LENGTH).failures)
    store.results.save_results("run-1", STREAM, [half, failed("b", LENGTH)])
    store.results.save_results("run-2", STREAM, [failed("a", LENGTH)])
    assert (store.results.give_up(STREAM, 3), store.results.give_up(OTHER_MONITOR, 1)) == (0, 0)
    assert (store.results.give_up(STREAM, 2), store.results.give_up(STREAM, 2)) == (1, 0)
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None and batch.results == (half,)
    assert waiting(store, max_attempts=9) == ["b"]


def test_scores_of_the_draws_of_some_items_are_counted(store: RunState) -> None:
    """Of all items drawn together with them, of no other draw and no other stream."""
    draw(store, ["a", "b", "c"])
    store.results.save_results("run-1", STREAM, [scored("a"), scored("b"), failed("c", LENGTH)])
    each = len(scored("a").scores)
    assert (
        store.samples.count_scores_sampled_with(STREAM, ["c"])
        == store.samples.count_scores_sampled_with(STREAM, ["a", "c"])
        == 2 * each
    )
    assert (
        store.samples.count_scores_sampled_with(STREAM, []),
        store.samples.count_scores_sampled_with(STREAM, ["x"]),
        store.samples.count_scores_sampled_with(OTHER_MONITOR, ["c"]),
    ) == (
        0,
        0,
        0,
    )


def test_a_failed_item_may_be_finished(store: RunState) -> None:
    """After a second try that succeeds the item is published with the scores of both."""
    draw(store, ["a"])
    store.results.save_results(
        "run-1", STREAM, [ItemResult(item("a"), scored("a").scores, failed("a", LENGTH).failures)]
    )
    store.results.save_results("run-2", STREAM, [scored("a", 0.75, LENGTH)])
    assert waiting(store) == []
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None
    assert batch.results == (ItemResult(item("a"), (*scored("a").scores, *scored("a", 0.75, LENGTH).scores)),)


def test_a_stored_score_stays(store: RunState, reader: StateReader) -> None:
    """A run repeated after a crash cannot change a number that may have been published."""
    draw(store, ["a"])
    store.results.save_results("run-1", STREAM, [scored("a", 0.75)])
    store.results.save_results("run-2", STREAM, [scored("a", 0.0)])
    (stored,) = reader.results.read_results(STREAM)
    assert [score.value for score in stored.scores] == [0.75]


def test_two_labels_of_one_class_and_two_versions_are_apart(store: RunState, reader: StateReader) -> None:
    """Scores are keyed by label and digest: none is silently dropped."""
    refs = [EXACT, replace(EXACT, label="Strict"), replace(EXACT, digest="digest-of-version-2")]
    draw(store, ["a"])
    made = tuple(MetricScore(ref, place / 4, None, None) for place, ref in enumerate(refs))
    store.results.save_results("run-1", STREAM, [ItemResult(item("a"), made)])
    (stored,) = reader.results.read_results(STREAM)
    assert set(stored.scores) == set(made)


def test_of_two_versions_the_newest_score_counts(store: RunState, reader: StateReader) -> None:
    """A metric that was changed between two tries: of each label the newer score is published and estimated."""
    draw(store, ["a"])
    newer = replace(EXACT, digest="digest-of-version-2")
    store.results.save_results("run-1", STREAM, [scored("a", 0.75)._replace(failures=failed("a", LENGTH).failures)])
    last = (*scored("a", 0.25, newer).scores, *scored("a", 1.0, LENGTH).scores)
    store.results.save_results("run-1", STREAM, [ItemResult(item("a"), last)])
    (result,) = store.reports.read_sample_results(STREAM, ["run-1"])
    assert set(result.scores) == set(last)
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None and set(batch.results[0].scores) == set(last)


def test_scores_survive_whole(store: RunState) -> None:
    """Every field comes back, whatever metrics put into it."""
    draw(store, ["a"])
    made = (
        MetricScore(replace(EXACT, label="All"), 0.5, None, 0.0, "", {"n": 1}, "aggregate", None, 2.0, 0.01, "gpt"),
        MetricScore(replace(EXACT, label="Odd"), math.inf, False, 0.5, "half \ud83d, \0 and 東京", {"t": "\ud83d"}),
        MetricScore(replace(EXACT, label="Part"), -1.5, True, None, "x", {"a": [1, None]}, "sub_metric", "All"),
    )
    store.results.save_results("run-1", STREAM, [ItemResult(item("a"), made, not_applicable=("Other",))])
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None
    ((_, scores, failures, absent, _),) = batch.results
    assert (scores[0], scores[2], failures, absent) == (made[0], made[2], (), ("Other",))
    assert scores[1] == made[1]._replace(explanation="half \\ud83d, \\x00 and 東京")


def test_an_open_batch_comes_again_identical(database: Database, store: RunState) -> None:
    """A crash between publishing and marking repeats the same id with the same rows, so a sink keeps one copy."""
    ids = [f"{number:03}" for number in range(25)]
    draw(store, ids)
    store.results.save_results("run-1", STREAM, [scored(each) for each in ids[:20]])
    store.reports.save_run(RUN)
    first = packed(store.outbox, RUN, 10)
    store.results.save_results("run-1", STREAM, [scored(each) for each in ids[20:]])
    (again,) = waiting_batches(build_run_state(database).outbox, STREAM)
    assert first is not None
    assert (again.id, again.results, again.run) == (first.id, first.results, RUN)
    assert [result.item.id for result in first.results] == ids[:10]


def test_batches_cover_everything_once(store: RunState, database: Database) -> None:
    """Batch after batch publishes each finished item once, and closing marks it."""
    ids = [f"{number:03}" for number in range(25)]
    draw(store, ids)
    draw(store, ids, OTHER_MONITOR)
    store.results.save_results("run-1", STREAM, [scored(each) for each in ids])
    published, names = [], set()
    while (batch := packed(store.outbox, RUN, 10)) is not None:
        names.add(batch.id)
        published += deliver(store.outbox, STREAM)
    assert (published, len(names)) == (ids, 3)
    scored_items = SqlScoredItems(database)
    assert scored_items.unseen(STREAM, [*ids, "new"]) == ["new"]
    assert scored_items.stats() == {STREAM: 25}
    assert packed(store.outbox, replace(RUN, stream=OTHER_MONITOR), 10) is None


def test_published_items_stay_published(store: RunState) -> None:
    """Results that come late, from a worker thought dead, bring nothing back."""
    draw(store, ["a"])
    store.results.save_results("run-1", STREAM, [scored("a")])
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None
    deliver(store.outbox, STREAM)
    store.results.save_results("run-1", STREAM, [failed("a", LENGTH)])
    assert waiting(store) == []
    assert packed(store.outbox, RUN, 10) is None


def test_clearing_lets_items_in_again(store: RunState, database: Database) -> None:
    """A cleared item is drawn, scored and published like a new one; what was not finished is left alone."""
    scored_items = SqlScoredItems(database)
    draw(store, ["a", "b"])
    store.results.save_results("run-1", STREAM, [scored("a", 0.25)])
    batch = packed(store.outbox, RUN, 10)
    assert batch is not None
    deliver(store.outbox, STREAM)
    assert scored_items.clear(STREAM) == 1
    assert store.samples.find_undecided(STREAM, ["a", "b"]) == ["a"]
    draw(store, ["a"])
    store.results.save_results("run-2", STREAM, [scored("a", 0.75)])
    again = packed(store.outbox, replace(RUN, run_id="run-2"), 10)
    assert again is not None
    assert again.id != batch.id
    assert [score.value for result in again.results for score in result.scores] == [0.75]


def test_a_second_process_is_kept_out(path: str, store: RunState) -> None:
    """Two runs of one monitor never overlap; other monitors go on, and kill -9 frees the lock."""
    with started("hold", path) as child:
        assert line(child) == "held"
        with (
            pytest.raises(BusyError, match=rf"process {child.pid} on .* since 20") as caught,
            store.claims.lock(STREAM, 0.1),
        ):
            pass
        assert str(STREAM) in str(caught.value)
        with store.claims.lock(OTHER_MONITOR, 0):
            pass
        child.kill()
        child.wait()
        end = time.monotonic() + 30
        while time.monotonic() < end:  # a server sees a moment later that the connection is gone
            with suppress(BusyError), store.claims.lock(STREAM, 5):
                return
            time.sleep(0.05)
        pytest.fail("the lock of a killed process was not given back")


def test_a_lock_is_given_back_after_an_error(store: RunState) -> None:
    """A run that failed does not stand in the next one's way; a lock is not taken twice by one process either."""
    with pytest.raises(KeyError), store.claims.lock(STREAM, 0):
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), store.claims.lock(STREAM, 0):
            pass
        raise KeyError
    with store.claims.lock(STREAM, 0):
        pass


def test_runs_are_written_and_read_back(store: RunState, reader: StateReader) -> None:
    """The report of a run is what its row says, with every field."""
    running = replace(RUN, config=RunConfig("config", "2", "test", {"agent": "x"}, "name: athena\n"))
    done = replace(
        running,
        status="done",
        finished_at=NOW + timedelta(seconds=90),
        counts=RunCounts(read=10, scored=3),
        estimates=(Estimate("Exact", 3, 0.5, 0.25, 0.75, threshold=0.0),),
        notes=("a cap was hit",),
        broken=("traces.jsonl:7: not an object",),
        failure_kinds={"TimeoutError": 2},
        spending=Spending(0.25),
    )
    store.reports.save_run(running)
    assert reader.runs.read_run("run-1") == running
    store.reports.save_run(done)
    assert reader.runs.read_run("run-1") == done
    assert reader.runs.read_run("run-2") is None


def test_runs_are_listed_newest_first(store: RunState, reader: StateReader) -> None:
    """The history of a monitor, of a stream, of all."""
    for number, (monitor, stream) in enumerate([("x", STREAM), ("y", OTHER_MONITOR), ("x", STREAM)]):
        started_at = NOW + timedelta(hours=number)
        store.reports.save_run(replace(RUN, run_id=f"r{number}", monitor=monitor, stream=stream, started_at=started_at))
    assert [run.run_id for run in reader.runs.newest_runs()] == ["r2", "r1", "r0"]
    assert [run.run_id for run in reader.runs.newest_runs("x")] == ["r2", "r0"]
    assert [run.run_id for run in reader.runs.newest_runs(OTHER_MONITOR)] == ["r1"]
    assert [run.run_id for run in reader.runs.newest_runs(limit=1)] == ["r2"]


def test_results_of_a_run_and_since(store: RunState, reader: StateReader) -> None:
    """A run's report shows what that run made; the stream's shows what stands."""
    ids = [f"{number:04}" for number in range(1100)]
    draw(store, ids)
    store.results.save_results("run-1", STREAM, [scored(each) for each in ids[1:]] + [failed("0000")])
    middle = NOW + timedelta(minutes=2, seconds=30)
    assert [row.item.id for row in reader.results.read_results(STREAM, "run-1")] == ids
    (first, *_) = reader.results.read_results(STREAM)
    assert (first.scores, first.failures) == ((), failed("0000").failures)
    store.results.save_results("run-2", STREAM, [scored("0000", 0.75)])
    (second,) = reader.results.read_results(STREAM, "run-2")
    assert (second.scores, second.failures, second.decision) == (
        scored("0000", 0.75).scores,
        (),
        decision("0000"),
    )
    assert [row.item.id for row in reader.results.read_results(STREAM, since=middle)] == ["0000"]
    assert next(reader.results.read_results(STREAM)).failures == ()
    assert next(reader.results.read_results(STREAM, "run-1")).failures == failed("0000").failures
    assert list(reader.results.read_results(OTHER_MONITOR)) == []


def test_outlines_are_the_results_of_a_run_without_texts(store: RunState, reader: StateReader) -> None:
    """Figures are made of them, whatever the ids and how many pages they fill; the shown items are read in full."""
    ids = sorted([*AWKWARD, *(f"{number:04}" for number in range(40))])
    draw(store, ids)
    store.results.save_results("run-1", STREAM, [failed(each) if each == "0007" else scored(each) for each in ids])
    store.results.save_results("run-2", STREAM, [scored("0007", 0.75, LENGTH)])
    for run_id in ("run-1", "run-2"):
        full = list(reader.results.read_results(STREAM, run_id))
        assert list(reader.results.read_outlines(STREAM, run_id)) == [
            ResultOutline(
                each.item.id,
                each.decision,
                tuple(score._replace(explanation="", signals=None) for score in each.scores),
                each.failures,
                each.scored_at,
            )
            for each in full
        ]
        shown = reader.results.read_shown(STREAM, run_id, ["a,b", "0007", "never seen"])
        assert shown == {each.item.id: each for each in full if each.item.id in ("a,b", "0007")}
    assert list(reader.results.read_outlines(OTHER_MONITOR, "run-1")) == []


def test_items_without_results_are_left_out(store: RunState, reader: StateReader, database: Database) -> None:
    """What is only drawn, or only marked, has nothing to show."""
    draw(store, ["a", "b"])
    SqlScoredItems(database).mark(STREAM, ["c"], NOW)
    store.results.save_results("run-1", STREAM, [scored("b")])
    (row,) = reader.results.read_results(STREAM)
    assert (row.item.id, row.scored_at) == ("b", NOW + timedelta(minutes=2))


def test_what_was_judged_by_chance_is_kept_with_its_proxy(store: RunState, reader: StateReader) -> None:
    """The aggregate of a later report needs both, by item and by day."""
    store.samples.save_sample("run-1", STREAM, [decision("a")], [item("a")])
    result = scored("a", 0.5)
    by_chance = [score._replace(proxy=0.875, chance=0.125) for score in result.scores]
    store.results.save_results("run-1", STREAM, [result._replace(scores=tuple(by_chance))])
    (row,) = reader.results.read_results(STREAM)
    assert [(score.proxy, score.chance) for score in row.scores] == [(0.875, 0.125)] * len(by_chance)
    (found,) = {each.values.mean for each in reader.results.read_aggregates(STREAM, 3).values()}
    assert found == 0.875 + (0.5 - 0.875) / 0.125


def test_an_item_without_a_time_counts_on_the_day_it_was_scored(store: RunState, reader: StateReader) -> None:
    """Sources without timestamps have a history too."""
    draw(store, ["a"])
    store.results.save_results("run-1", STREAM, [scored("a")])
    (key,) = reader.results.read_aggregates(STREAM, 1)
    assert key.start.date() == NOW.date()


def test_spreads_by_stratum(store: RunState, reader: StateReader) -> None:
    """What Neyman allocation needs: the standard deviation of each stratum that has two scores."""
    values = {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.25, "e": math.nan}
    strata = {"a": "web", "b": "web", "c": "mail", "d": "", "e": ""}
    made = [decision(each, stratum=strata[each]) for each in values]
    store.samples.save_sample("run-1", STREAM, made, [item(each) for each in values])
    store.results.save_results("run-1", STREAM, [scored(each, value) for each, value in values.items()])
    assert reader.results.read_spreads(STREAM, "Exact") == {"web": pytest.approx(math.sqrt(0.5))}
    assert reader.results.read_spreads(STREAM, "Short") == {}


_outcomes = st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=20)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(_outcomes, min_size=1, max_size=4), size=st.integers(1, 5), close=st.booleans())
def test_every_finished_item_is_published_once(
    store: RunState, rounds: list[list[tuple[int, bool]]], size: int, close: bool, reader: StateReader
) -> None:
    """Whatever fails, and wherever batches are left open, each finished item is in exactly one closed batch."""
    count = len(reader.runs.newest_runs(limit=10_000))
    stream = Stream(f"file:{count}", "m")
    run = replace(RUN, run_id=f"p{count}", stream=stream)
    store.reports.save_run(run)
    draw(store, [str(number) for number in range(8)], stream)
    finished: set[str] = set()
    published: list[str] = []
    for outcomes in rounds:
        for number, works in outcomes:
            store.results.save_results(run.run_id, stream, [(scored if works else failed)(str(number))])
            finished |= {str(number)} if works else set()
        packed(store.outbox, run, size)  # left open, as a crash does
        while close and packed(store.outbox, run, size) is not None:
            published += deliver(store.outbox, stream)
    while packed(store.outbox, run, size) is not None:
        pass
    published += deliver(store.outbox, stream)
    assert sorted(published) == sorted(finished)
    assert set(waiting(store, stream, 100)) == {str(number) for number in range(8)} - finished


def test_moments_are_utc(store: RunState, reader: StateReader) -> None:
    """A time from another zone is the same moment when it is read."""
    elsewhere = datetime.fromisoformat("2026-03-01T14:30:00+02:00")
    store.reports.save_run(replace(RUN, started_at=elsewhere))
    found = reader.runs.read_run("run-1")
    assert found is not None
    assert (found.started_at, found.started_at.tzinfo) == (NOW, UTC)


def test_a_holder_without_a_note_is_told_too(tmp_path: Path) -> None:
    """Between taking the lock and writing who took it, another run still gets a clear answer."""
    store = build_run_state(open_database(tmp_path / "state.db"))
    with store.claims.lock(STREAM, 0):
        for note in tmp_path.glob("*.holder"):
            note.unlink()
        with pytest.raises(BusyError, match="began just now"), store.claims.lock(STREAM, 0):
            pass


def test_a_draw_may_be_thinned_before_it_is_tried(store: RunState) -> None:
    """Those left out become undrawn and never come again, the others keep their place; both have their new chance."""
    draw(store, ["a", "b", "c"])
    draw(store, ["a"], OTHER_MONITOR)
    kept, dropped = (replace(decision(each), probability=0.1, strategy="random, thinned") for each in "ab")
    store.samples.thin(STREAM, [kept, replace(dropped, drawn=False)])
    assert [each.decision for each in waiting_items(store, STREAM, 3)] == [kept, decision("c")]
    assert store.samples.find_undecided(STREAM, ["a", "b", "c"]) == []
    assert sorted(store.samples.unfinished_ids(STREAM, 3)) == ["a", "c"]
    assert [each.decision for each in store.samples.read_unfinished(STREAM, ["c", "b", "a"])] == [decision("c"), kept]
    assert [each.decision for each in store.samples.read_unfinished(OTHER_MONITOR, ["a"])] == [decision("a")]
    store.results.save_results("run-1", STREAM, [scored("a")])
    assert store.reports.find_finished_samples(STREAM, ["run-1"], "") == {}
    assert [each.decision for each in store.reports.read_sample_results(STREAM, ["run-1"])] == [kept]
    store.results.save_results("run-1", STREAM, [scored("c")])
    assert store.reports.find_finished_samples(STREAM, ["run-1", "run-2"], "") == {"run-1": 3}
    assert [each.decision for each in store.reports.read_sample_results(STREAM, ["run-1"])] == [kept, decision("c")]


def test_what_was_tried_is_not_thinned(store: RunState, reader: StateReader) -> None:
    """A score keeps the chance that it was made with, whatever comes late."""
    draw(store, ["a", "b", "c"])
    store.results.save_results("run-1", STREAM, [scored("a"), failed("b")])
    store.samples.thin(STREAM, [replace(decision(each, drawn=False), probability=0.01) for each in "ab"])
    assert waiting(store) == ["b", "c"]
    assert {each.decision.probability for each in reader.results.read_results(STREAM)} == {0.25}
    assert [(each.attempts, each.have) for each in store.samples.read_unfinished(STREAM, ["b", "a"])] == [(1, ())]


def test_what_models_were_asked_is_kept_also_of_a_killed_run(store: RunState, reader: StateReader) -> None:
    """A day's budget adds up the rows of a monitor's runs since midnight, whatever became of them."""
    row = ModelUsage("Tone", "small", 3, 1, 0, 30, 10, 6, 0.25, 1, "digest")
    store.reports.save_run(replace(RUN, spending=Spending(usage=(row,))))
    store.reports.save_run(replace(RUN, run_id="run-2", monitor="other", spending=Spending(usage=(row,))))
    store.reports.save_run(
        replace(RUN, run_id="run-3", started_at=NOW - timedelta(days=1), spending=Spending(usage=(row, row)))
    )
    assert reader.runs.read_usage("athena", NOW) == [row]
    assert reader.runs.read_usage("athena", NOW - timedelta(days=1)) == [row, row, row]
