"""The promises of `Claims`, on SQLite and on Postgres: an item that waits has one worker at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricFailure, MetricRef, MetricScore, RunConfig, RunReport
from shared.core.state.claims import Claims, SampledItem
from shared.core.state.run_stores import RunState, StateReader
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.schema.tables import workers
from tests.contracts.adapters.processes import line, started
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import AWKWARD, NOW, OTHER_MONITOR, STREAM

EXACT = MetricRef("Exact", "exact_match", "1", "digest-exact")
OTHER = MetricRef("Other", "length", "1", "digest-other")
RUN = RunReport("a", "athena", STREAM, RunConfig("config"), "running", NOW)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "state.db") if request.param == "sqlite" else postgres_at(tmp_path)


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database)


@pytest.fixture
def reader(database: Database) -> StateReader:
    return build_state_reader(database)


def draw(store: RunState, ids: Sequence[str], run_id: str = "drew") -> None:
    made = [Decision(each, True, 0.5, "random") for each in ids]
    store.samples.save_sample(run_id, STREAM, made, [DatasetItem(id=each, query="q") for each in ids])


def good(each: str, value: float = 0.5, ref: MetricRef = EXACT) -> ItemResult:
    return ItemResult(DatasetItem(id=each), (MetricScore(ref, value, None, None),))


def bad(each: str, ref: MetricRef = OTHER) -> ItemResult:
    return ItemResult(DatasetItem(id=each), (), (MetricFailure(ref, each, "TimeoutError", "30 s"),))


def ids(page: Sequence[SampledItem]) -> list[str]:
    return [each.item.id for each in page]


def silent(database: Database, claims: Claims) -> None:
    """End a worker's lease, as if it had not been heard of for long."""
    with database.write() as connection:
        mine = sa.update(workers).where(workers.c.worker == claims.worker)
        connection.execute(mine.values(leased_until=LONG_AGO))


def test_two_workers_never_have_the_same_item(store: RunState) -> None:
    """Each gets what the other has not, oldest draw first, and both come to an end."""
    names = [f"{n:02}" for n in range(10)]
    draw(store, names)
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        pages = [ids(each.take_next(3)) for each in (a, b, a, b, a, b)]
    assert pages == [names[:3], names[3:6], names[6:9], names[9:], [], []]


def test_chosen_items_are_claimed_too(store: RunState) -> None:
    """Where items are taken in random order, those that another has are left out, and other streams are not touched."""
    draw(store, ["x", *AWKWARD])
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        assert sorted(a.free_ids()) == sorted(["x", *AWKWARD])
        assert ids(a.take(["x", AWKWARD[1], "never seen"])) == ["x", AWKWARD[1]]
        assert ids(b.take([*AWKWARD, "x"])) == [each for each in AWKWARD if each != AWKWARD[1]]
        assert (a.free_ids(), b.free_ids()) == ([], [])
        with store.claims.work_on(OTHER_MONITOR, "c", 3) as c:
            assert c.take_next(5) == []


def test_only_a_runs_own_sample_is_taken_from_memory(store: RunState) -> None:
    """An item that two runs have read is scored as the run read it that sampled it; each is handed out once."""
    draw(store, ["x"], "other")
    draw(store, ["y", "z"], "mine")
    held = {each: DatasetItem(id=each, query="as it was read again") for each in "xyz"}
    with store.claims.work_on(STREAM, "mine", 3) as mine:
        mine.remember(held)
        first, rest = mine.take_next(2), mine.take(["z"])
    assert {each.item.id: each.item.query for each in (*first, *rest)} == {
        "x": "q",
        "y": "as it was read again",
        "z": "as it was read again",
    }
    assert list(held) == ["x"]


def test_what_a_worker_leaves_is_free(store: RunState) -> None:
    """A run that is interrupted hands back what it has not finished."""
    draw(store, ["x", "y"])
    with store.claims.work_on(STREAM, "a", 3) as a:
        a.take_next(2)
        assert store.results.save_results("a", STREAM, [good("x")], a.worker) == {"x"}
    with store.claims.work_on(STREAM, "b", 3) as b:
        (again,) = b.take_next(5)
    assert (again.item.id, again.draw, again.attempts) == ("y", "drew", 0)


def test_a_failed_item_is_tried_once_by_the_workers_of_one_time(store: RunState) -> None:
    """It waits for a later run, with the scores that it has, not for the worker beside."""
    draw(store, ["x"])
    half = ItemResult(DatasetItem(id="x"), good("x").scores, bad("x").failures)
    with store.claims.work_on(STREAM, "b", 3) as b:
        with store.claims.work_on(STREAM, "a", 3) as a:
            a.take_next(1)
            store.results.save_results("a", STREAM, [half], a.worker)
            assert a.take_next(1) == []
        assert (b.take_next(1), b.free_ids()) == ([], [])
    with store.claims.work_on(STREAM, "c", 3) as c:
        (again,) = c.take_next(1)
    assert (again.attempts, again.have) == (1, good("x").scores)


def test_a_worker_that_is_silent_too_long_loses_its_items(database: Database, store: RunState) -> None:
    """Its process may live on, in a metric that never ends: others go on with its items, and come to them again."""
    draw(store, ["x", "y"])
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        assert ids(a.take_next(1)) == ["x"]
        assert ids(b.take_next(5)) == ["y"]
        assert b.take_next(5) == []
        silent(database, a)
        assert ids(b.take_next(5)) == ["x"]
        assert a.take_next(5) == []
        assert store.results.save_results("b", STREAM, [good("x")], b.worker) == {"x"}


def test_a_late_result_is_stored_only_while_nothing_else_is(
    database: Database, store: RunState, reader: StateReader
) -> None:
    """Whoever comes first is kept whole; of the other nothing is mixed into it, and a late failure changes nothing."""
    draw(store, ["x", "y", "z"])
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        a.take_next(3)
        silent(database, a)
        assert ids(b.take_next(3)) == ["x", "y", "z"]
        assert store.results.save_results("b", STREAM, [good("x", 1.0)], b.worker) == {"x"}
        late = [good("x", 0.0)._replace(scores=(*good("x", 0.0).scores, *good("x", 0.0, OTHER).scores)), good("y", 0.0)]
        assert store.results.save_results("a", STREAM, [*late, bad("z")], a.worker) == {"y"}
        assert store.results.save_results("b", STREAM, [good("y", 1.0), good("z", 1.0)], b.worker) == {"z"}
    made = {
        row.item.id: [(score.label, score.value) for score in row.scores] for row in reader.results.read_results(STREAM)
    }
    assert made == {"x": [("Exact", 1.0)], "y": [("Exact", 0.0)], "z": [("Exact", 1.0)]}
    assert [row.failures for row in reader.results.read_results(STREAM)] == [(), (), ()]


def test_a_late_score_is_not_mixed_into_what_failed_since(database: Database, store: RunState) -> None:
    """An item that another worker has tried meanwhile is that worker's, also where it gave no score."""
    draw(store, ["x"])
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        a.take_next(1)
        silent(database, a)
        assert ids(b.take_next(1)) == ["x"]
        assert store.results.save_results("b", STREAM, [bad("x")], b.worker) == {"x"}
        assert store.results.save_results("a", STREAM, [good("x", 0.0)], a.worker) == set()


def test_a_spent_budget_skips_no_item_of_another_worker(store: RunState, reader: StateReader) -> None:
    """A run whose budget is spent says so of its own and of free items; what another scores is not skipped."""
    draw(store, ["x", "y", "z"])
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        a.take(["x"])
        b.take(["y"])
        store.skipped.skip_over_budget("b", STREAM, b.worker)
    skipped = {each: [row.reason for row in reader.histories.read_skipped(STREAM, each)] for each in ("x", "y", "z")}
    assert skipped == {"x": [], "y": ["over_budget"], "z": ["over_budget"]}


def test_a_killed_worker_is_known_dead_at_once(path: str, store: RunState, database: Database) -> None:
    """The next run on the machine does not wait for the end of a lease; until then the items are safe."""
    draw(store, ["x", "y"])
    with started("claim", path, 1) as child:
        assert line(child) == "x"
        with store.claims.work_on(STREAM, "b", 3) as b:
            assert ids(b.take_next(5)) == ["y"]
            assert b.take_next(5) == []
            child.kill()
            child.wait()
            assert ids(b.take_next(5)) == ["x"]
    left_by_a_kill = Path(f"{path}.0123.worker")
    if database.path is not None:
        left_by_a_kill.touch()
    with store.claims.work_on(STREAM, "c", 3):
        assert not left_by_a_kill.exists()
    assert database.path is None or not list(database.path.parent.glob("*.worker"))


def test_nothing_is_given_up_that_another_is_trying(store: RunState) -> None:
    """A worker finishes what it and nobody has tried too often, not what is under way elsewhere."""
    draw(store, ["x", "y"])
    with store.claims.work_on(STREAM, "a", 9) as a:
        a.take_next(2)
        store.results.save_results("a", STREAM, [bad("x"), bad("y")], a.worker)
    with store.claims.work_on(STREAM, "b", 9) as b, store.claims.work_on(STREAM, "c", 9) as c:
        assert ids(b.take(["x"])) == ["x"]
        assert store.results.give_up(STREAM, 1, c.worker) == 1
        assert store.results.give_up(STREAM, 1, b.worker) == 1


def test_results_may_be_published_as_they_are_stored(store: RunState, reader: StateReader) -> None:
    """Where no sink waits, one step is saved; what failed is not published by it."""
    draw(store, ["x", "y"])
    with store.claims.work_on(STREAM, "a", 3) as a:
        a.take_next(2)
        store.results.save_results("a", STREAM, [good("x"), bad("y")], a.worker, published=True)
    (x,), (y,) = reader.histories.read_histories(STREAM, "x"), reader.histories.read_histories(STREAM, "y")
    assert (x.state, x.marked_at is not None, y.state, y.marked_at) == ("published", True, "failed", None)


def test_one_run_reports_a_draw(store: RunState, reader: StateReader) -> None:
    """The first that writes its end has it; it may write it again."""
    draw(store, ["x"])
    assert store.reports.find_finished_samples(STREAM, ["drew"], "me") == {}
    store.results.save_results("a", STREAM, [good("x")])
    assert store.reports.find_finished_samples(STREAM, ["drew", "unknown"], "me") == {"drew": 1}
    assert store.reports.report_samples(replace(RUN, run_id="a", status="done"), ["drew"])
    assert not store.reports.report_samples(replace(RUN, run_id="b", status="done"), ["drew"])
    assert store.reports.report_samples(replace(RUN, run_id="a", status="done", notes=("x",)), ["drew"])
    assert store.reports.find_finished_samples(STREAM, ["drew"], "me") == {}
    assert [run.run_id for run in reader.runs.newest_runs(STREAM)] == ["a"]


def test_failed_items_of_a_sample_are_counted_until_they_are_finished(store: RunState) -> None:
    """Whether a sample is worth an estimate depends on how much of it is still to be tried again."""
    draw(store, ["x", "y"])
    assert store.reports.count_retries(STREAM, ["drew"]) == {}
    store.results.save_results("a", STREAM, [good("x"), bad("y")])
    assert store.reports.count_retries(STREAM, ["drew", "unknown"]) == {"drew": 1}
    assert store.reports.count_retries(OTHER_MONITOR, ["drew"]) == {}
    store.results.give_up(STREAM, 1)
    assert store.reports.count_retries(STREAM, ["drew"]) == {}


def test_a_draw_that_a_killed_run_left_unreported_is_the_next_ones(store: RunState) -> None:
    """A kill between the last score and the report loses no estimates; while others are at work they may have it."""
    draw(store, ["x"])
    with store.claims.work_on(STREAM, "a", 3) as a, store.claims.work_on(STREAM, "b", 3) as b:
        store.results.save_results("a", STREAM, [good(each.item.id) for each in a.take_next(1)], a.worker)
        assert store.reports.find_finished_samples(STREAM, [], b.worker) == {}
        assert store.reports.find_finished_samples(STREAM, ["drew"], a.worker) == {"drew": 1}
    with store.claims.work_on(STREAM, "c", 3) as c:
        assert store.reports.find_finished_samples(STREAM, [], c.worker) == {"drew": 1}
        assert store.reports.find_finished_samples(OTHER_MONITOR, [], c.worker) == {}


def test_a_run_that_is_at_work_is_not_taken_for_killed(store: RunState, reader: StateReader) -> None:
    """Another that begins closes the rows of runs that have gone, and no others."""
    with store.claims.work_on(STREAM, "a", 3):
        store.reports.save_run(replace(RUN, run_id="a"))
        store.reports.save_run(replace(RUN, run_id="gone"))
        with store.claims.work_on(STREAM, "b", 3):
            store.reports.save_run(replace(RUN, run_id="b"))
        assert {run.run_id: run.status for run in reader.runs.newest_runs(STREAM)} == {
            "a": "running",
            "gone": "interrupted",
            "b": "running",
        }


def test_a_worker_whose_connections_were_ended_goes_on_and_ends_well(tmp_path: Path) -> None:
    """A server that ended the connection which says that a worker lives has not ended its work."""
    database = open_database(postgres_at(tmp_path))
    store = build_run_state(database)
    draw(store, ["a", "b"])
    with store.claims.work_on(STREAM, "one", 5) as one:
        assert ids(one.take_next(1)) == ["a"]
        with database.write() as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            assert connection.execute(sa.text(ended)).scalars().all() == [True]
        assert store.results.save_results("one", STREAM, [good("a")], one.worker) == {"a"}
        assert ids(one.take_next(1)) == ["b"]
    with database.read() as connection:
        assert connection.execute(sa.select(workers)).all() == []
    database.close()
