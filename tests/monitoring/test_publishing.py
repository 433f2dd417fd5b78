"""Scores on their way to sinks: whatever is lost, refused or killed, each arrives once, and marks say the truth."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.clock import utc_now
from shared.core.counts import DeliveryStatus
from shared.core.errors import FatalError, Unavailable
from shared.core.ports import Batch, Sink
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.core.state.outbox import (
    ClaimedMessage,
    MessageClaim,
    MessageSink,
    OpenDeliveries,
    Outgoing,
    Outlet,
    PackedBatch,
    Receipt,
    SinkMessage,
)
from shared.core.state.run_stores import RunState
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_outbox import SqlOutbox
from shared.database.runs.sql_reports import SqlReports
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.schema.tables import outbox as outbox_table
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import MonitorPlan, Ports, RunLimits
from shared.monitoring.publishing.publisher import Publisher
from shared.monitoring.sampling.strategies import All
from shared.monitoring.sink_delivery import LEASE, DeliveryContext, DeliveryLimits, SinkDelivery, settle_message
from shared.scoring.metric import bind
from shared.scoring.runner import Runner
from tests.monitoring.posting import DOWN, Folder
from tests.monitoring.test_pipeline import ListSource, items

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
STREAM = Stream("list:test", "monitor")
AT_ONCE = DeliveryLimits(verify=0.0, settle=0.0)
OTHER = RunReport("other", "monitor", STREAM, RunConfig("config"), "running", NOW)
PARCEL = ClaimedMessage(SinkMessage("k", "i", {}), "pending", "b", "r", 0, NOW)


class Shelf:
    """A sink of whole batches, by their ids."""

    def __init__(self, name: str = "shelf") -> None:
        self.name = name
        self.batches: dict[str, Batch] = {}
        self.down: type[Exception] | None = None

    async def publish(self, batch: Batch) -> None:
        if self.down is not None:
            raise self.down("the shelf is out of reach")
        self.batches[batch.id] = batch

    def ids(self) -> list[str]:
        return sorted(result.item.id for batch in self.batches.values() for result in batch.results)


class House:
    """A monitor on a SQLite file, run again and again by a clock that the test moves."""

    def __init__(self, folder: Path, count: int = 10) -> None:
        self.now, self.every = NOW, timedelta(hours=1)
        self.database = open_database(folder / "state.db")
        self.scored = SqlScoredItems(self.database)
        self.source = ListSource(items(count))
        self.sink = Folder(folder / "rows")
        self.calls: list[str] = []

    def metric(self, item: DatasetItem) -> float:
        self.calls.append(item.id)
        return len(item.actual_output or "") / 100

    def plan(self, **changes: Any) -> MonitorPlan:
        plan = MonitorPlan(
            "monitor", STREAM, self.source, All(), Runner([bind(self.metric, "Odd")]), delivery_limits=AT_ONCE
        )
        return replace(plan, **changes)

    def run(self, *outlets: Outlet, **changes: Any) -> RunReport:
        """One run, `every` after the one before."""
        self.now += self.every
        store = build_run_state(self.database, lambda: self.now)
        ports = Ports(self.scored, store, outlets or (Outlet(self.sink),), clock=lambda: self.now)
        return asyncio.run(run_monitor(self.plan(**changes), ports))

    def marked(self) -> int:
        return self.scored.stats().get(STREAM, 0)


def expected(count: int) -> dict[str, float]:
    return {f"i{n:03}.Odd": n / 100 for n in range(count)}


def test_scores_are_sent_verified_and_marked(tmp_path: Path) -> None:
    """The plain way: every score at its sink, read back, every item marked, and the run says so."""
    house = House(tmp_path)
    report = house.run()
    assert (report.status, report.counts.marked, house.marked()) == ("done", 10, 10)
    assert report.published == (DeliveryStatus("folder", verified=10),)
    assert house.sink.rows() == expected(10) and house.sink.closed
    again = house.run()
    assert (again.status, len(house.sink.sent)) == ("nothing_new", 10)
    stored = build_state_reader(house.database).runs.read_run(report.run_id)
    assert stored is not None and stored.published == report.published


def test_a_lost_answer_leaves_one_copy(tmp_path: Path) -> None:
    """What was taken and not confirmed is sent again under the same key."""
    house = House(tmp_path)
    house.sink.fault = lambda key: "lost_answer" if house.sink.sent.count(key) == 1 else ""
    first = house.run()
    assert (first.status, first.counts.marked, first.published[0].pending) == ("unpublished", 0, 10)
    second = house.run()
    assert (second.counts.marked, house.sink.rows(), len(house.sink.sent)) == (10, expected(10), 20)
    assert len(house.calls) == 10


def test_what_was_lost_on_the_way_is_sent_again(tmp_path: Path) -> None:
    """A sink that said yes and kept nothing is not believed."""
    house = House(tmp_path)
    house.sink.fault = lambda key: "lost" if house.sink.sent.count(key) == 1 else ""
    assert house.run().counts.marked == 0
    assert (house.run().counts.marked, house.sink.rows()) == (10, expected(10))


def test_a_rejected_score_fails_at_once_and_loudly(tmp_path: Path) -> None:
    """Its item stays unmarked and is never scored again; the run fails once, and later ones only say so."""
    house = House(tmp_path)
    house.sink.fault = lambda key: "rejected" if key == "i003.Odd" else ""
    first = house.run()
    assert (first.status, first.counts.marked) == ("unpublished", 9)
    assert first.published == (DeliveryStatus("folder", verified=9, failed=1, reasons={"value too long": 1}),)
    assert "1 message(s) failed at folder: value too long" in first.notes[0] and "--failed" in first.notes[0]
    second = house.run()
    assert (second.status, second.published[0].failed_before, second.counts.scored) == ("nothing_new", 1, 0)
    assert "(1 of them in earlier runs)" in second.notes[0]
    assert (house.calls.count("i003"), house.sink.sent.count("i003.Odd")) == (1, 1)


def test_a_slow_sink_is_looked_at_again_by_the_next_run(tmp_path: Path) -> None:
    """Sent and not to be read back yet is no failure: a note, no mark, and nothing sent twice."""
    house = House(tmp_path)
    house.sink.fault, house.every = lambda key: "slow", timedelta(minutes=10)
    reports = [house.run() for _ in range(3)]
    assert [each.status for each in reports] == ["done", "nothing_new", "done"]
    assert [each.counts.marked for each in reports] == [0, 0, 10]
    assert "cannot be read back yet" in reports[0].notes[0]
    assert (len(house.sink.sent), house.sink.rows()) == (10, expected(10))


def test_a_run_waits_a_little_for_a_slow_sink(tmp_path: Path) -> None:
    """Within `verify` seconds it looks again and again, and then marks."""
    house = House(tmp_path)
    house.sink.fault = lambda key: "slow"
    store = build_run_state(house.database)
    ports = Ports(house.scored, store, (Outlet(house.sink),))
    report = asyncio.run(run_monitor(house.plan(delivery_limits=DeliveryLimits(verify=20.0, settle=0.0)), ports))
    assert (report.status, report.counts.marked) == ("done", 10)


def test_a_run_waits_no_longer_because_every_try_takes_long(tmp_path: Path) -> None:
    """A sink that hangs for a while at each try has the same `verify` seconds as one that answers at once."""

    class Hanging(Folder):
        async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
            self.sent += [each.key for each in messages]
            await asyncio.sleep(0.5)
            raise Unavailable("no answer")

    house = House(tmp_path, 1)
    sink = Hanging(tmp_path / "rows")
    ports = Ports(house.scored, build_run_state(house.database), (Outlet(sink),))
    plan = house.plan(delivery_limits=DeliveryLimits(verify=3.0, settle=0.0))
    assert asyncio.run(run_monitor(plan, ports)).status == "unpublished"
    assert 1 <= len(sink.sent) <= 2  # at 0 and 1.5 s (on a busy machine later); the next would be at 4 s


@pytest.mark.parametrize("down", DOWN)
def test_a_required_sink_that_is_down_does_not_stop_scoring(tmp_path: Path, down: type[Exception]) -> None:
    """All is scored and stored, nothing marked; the run fails and says how to drain it; the next run does."""
    house = House(tmp_path)
    house.sink.down = down
    first = house.run(limits=RunLimits(chunk=3))
    assert (first.status, first.counts.scored, first.counts.marked) == ("unpublished", 10, 0)
    assert "the folder does not answer" in first.notes[0] and "trueline publish" in first.notes[0]
    assert [each.label for each in first.estimates] == ["Odd"]
    house.sink.down = None
    assert (house.run().counts.marked, house.sink.rows(), len(house.calls)) == (10, expected(10), 10)


@pytest.mark.parametrize("down", DOWN)
def test_a_best_effort_sink_holds_up_nothing(tmp_path: Path, down: type[Exception]) -> None:
    """Whatever it raises: the run is done, the items are marked, and later runs bring the sink what it missed."""
    house, shelf = House(tmp_path), Shelf()
    shelf.down = house.sink.down = down
    outlets = (Outlet(shelf, required=False), Outlet(house.sink, required=False))
    report = house.run(*outlets)
    assert (report.status, report.counts.marked) == ("done", 10)
    assert [each.pending for each in report.published] == [1, 10]
    assert "which is best effort" in report.notes[0]
    shelf.down = house.sink.down = None
    house.run(*outlets)
    assert (shelf.ids(), house.sink.rows()) == ([each.id for each in items(10)], expected(10))


def test_a_best_effort_sink_that_never_answers_holds_up_nothing(tmp_path: Path) -> None:
    """The run marks its items and ends; a later run brings the sink what it missed."""

    class Stuck(Folder):
        async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
            await asyncio.Event().wait()
            raise AssertionError("it never answers")

    house, outlet = House(tmp_path), Outlet(Stuck(tmp_path / "rows"), required=False)
    report = house.run(outlet, delivery_limits=replace(AT_ONCE, leave=0.01))
    assert (report.status, report.counts.marked) == ("done", 10)
    assert [each.pending for each in report.published] == [10]
    assert "which is best effort" in report.notes[0]
    house.run(Outlet(house.sink, required=False))
    assert house.sink.rows() == expected(10)


def test_a_best_effort_sink_is_not_begun_with_anew_at_the_very_end(tmp_path: Path) -> None:
    """What waits for it while a required sink gets its last try is told as waiting, and not cut off half sent."""

    class Slow(Folder):
        async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
            self.sent += [each.key for each in messages]
            await asyncio.sleep(1.5)
            raise Unavailable("no answer")

    class Hasty(Folder):
        async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
            self.sent += [each.key for each in messages]
            if len(self.sent) > 10:
                await asyncio.Event().wait()
            raise Unavailable("not now")

    house = House(tmp_path)
    house.sink.fault = lambda key: "refused" if house.sink.sent.count(key) == 1 else ""
    hasty, slow = Hasty(tmp_path / "hasty", "hasty"), Slow(tmp_path / "slow", "slow")
    outlets = (Outlet(house.sink), Outlet(hasty, required=False), Outlet(slow, required=False))
    report = asyncio.run(run_monitor(house.plan(), Ports(house.scored, build_run_state(house.database), outlets)))
    assert (report.status, [each.verified for each in report.published]) == ("done", [10, 0, 0])
    assert ([each.pending for each in report.published], len(hasty.sent)) == ([0, 10, 10], 10)


def test_a_best_effort_sink_that_cannot_pack_skips(tmp_path: Path) -> None:
    """Its mistake is a reason in the report, not the end of the run."""

    class Broken(Folder):
        def pack(self, batch: Batch) -> Any:
            raise KeyError("trace")

    house = House(tmp_path)
    report = house.run(Outlet(Broken(tmp_path / "broken", "broken"), required=False))
    assert (report.status, report.published[0].skipped) == ("done", 10)
    assert report.published[0].reasons == {"it could not be packed: KeyError: 'trace'": 10}


def test_whole_batches_are_sent_again_alike(tmp_path: Path) -> None:
    """A batch that waits goes out with the items, scores and run that it was packed with."""
    house, shelf = House(tmp_path), Shelf()
    shelf.down = Unavailable
    first = house.run(Outlet(shelf))
    assert first.published == (
        DeliveryStatus("shelf", whole=True, pending=1, reasons={"the shelf is out of reach": 1}),
    )
    shelf.down = None
    house.source.records += items(3, 10)
    house.run(Outlet(shelf))
    assert shelf.ids() == [each.id for each in items(13)]
    assert next((each.run.run_id, len(each.results)) for each in shelf.batches.values()) == (first.run_id, 10)


def test_scores_without_a_place_are_skipped_and_said(tmp_path: Path) -> None:
    """They hold up nothing."""
    house = House(tmp_path, 2)
    house.source.records.append(DatasetItem(id="x1", actual_output="x"))
    report = house.run()
    assert (report.counts.marked, report.published[0].skipped, report.published[0].reasons) == (3, 1, {"no trace": 1})


def test_a_sink_that_is_gone_holds_up_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Taken out of the configuration and put back, it gets what it missed."""
    house, shelf = House(tmp_path), Shelf()
    house.sink.down = FatalError
    assert house.run(Outlet(house.sink), Outlet(shelf)).counts.marked == 0
    report = house.run(Outlet(shelf))
    assert (report.status, report.counts.marked) == ("done", 10)
    assert "10 row(s) are kept for folder" in report.notes[0]
    house.sink.down = None
    house.run(Outlet(house.sink), Outlet(shelf))
    assert house.sink.rows() == expected(10)


def test_sinks_of_messages_go_on_while_scoring_does(tmp_path: Path) -> None:
    """The first chunk is at its sink before the last one is scored."""
    house = House(tmp_path, 30)
    seen: list[int] = []

    async def slow(item: DatasetItem) -> float:
        await asyncio.sleep(0.01)
        seen.append(len(house.sink.sent))
        return 1.0

    report = house.run(runner=Runner([bind(slow, "Odd")]), limits=RunLimits(chunk=5))
    assert report.counts.marked == 30
    assert 0 < seen[-1] < 30


def test_tries_back_off_and_end() -> None:
    """1, 2, 4, ... seconds, up to 15 minutes, with jitter; over only when both tries and hours are used up."""
    rng, patience = Random(1), DeliveryLimits(tries=5, hours=2.0)
    waits = []
    for tries in range(12):
        made = settle_message(replace(PARCEL, attempts=tries), Receipt("k", "pending", "busy"), NOW, patience, rng)
        assert (made.state, made.attempts) == ("pending", tries + 1)
        waits.append((made.next_try_at - NOW).total_seconds())
    assert all(min(2.0**n, 900) / 2 <= wait <= min(2.0**n, 900) for n, wait in enumerate(waits))
    asked = settle_message(PARCEL, Receipt("k", "pending", "busy", 3600.0), NOW, patience, rng)
    assert asked.next_try_at == NOW + timedelta(hours=1)
    late = NOW + timedelta(hours=3)
    assert settle_message(replace(PARCEL, attempts=2), Receipt("k", "pending"), late, patience, rng).state == "pending"
    over = settle_message(replace(PARCEL, attempts=4), Receipt("k", "pending", "busy"), late, patience, rng)
    assert (over.state, over.reason) == ("failed", "given up after 5 tries in 3 h: busy")


def test_what_is_never_seen_is_sent_again_after_an_hour() -> None:
    """Looked for ever less often, then taken for lost."""
    sent = replace(PARCEL, state="sent", sent_at=NOW, attempts=1)
    ask = Receipt("k", "sent")
    for minutes, wait in ((1, 60), (10, 600), (40, 900)):
        at = NOW + timedelta(minutes=minutes)
        made = settle_message(sent, ask, at, DeliveryLimits(), Random(1))
        assert (made.state, (made.next_try_at - at).total_seconds(), made.sent_at) == ("sent", wait, NOW)
    lost = settle_message(sent, ask, NOW + timedelta(minutes=61), DeliveryLimits(), Random(1))
    assert (lost.state, lost.attempts, lost.sent_at) == ("pending", 1, None)


class Killed(BaseException):
    """The process is no more."""


class Life:
    """How many calls of stores and sinks a process lives for; it dies `before` or after the last one's work is done,
    and no call works from then on.
    """

    def __init__(self, calls: int, before: bool) -> None:
        self.left, self.before = calls, before

    def guarded(self, inner: object) -> Any:
        """The object with methods that die."""
        return _Mortal(inner, self)


class _Mortal:
    def __init__(self, inner: object, life: Life) -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._call(found) if callable(found) else found

    def _call(self, work: Callable[..., Any]) -> Callable[..., Any]:
        life = self._life

        def call(*arguments: Any, **named: Any) -> Any:
            life.left -= 1
            if life.left < -1 or (life.left < 0 and life.before):
                raise Killed
            made = work(*arguments, **named)
            if inspect.iscoroutine(made):
                return _last(made, life)
            if life.left < 0:
                raise Killed
            return made

        return call


async def _last(work: Coroutine[Any, Any, Any], life: Life) -> Any:
    made = await work
    if life.left < 0:
        raise Killed
    return made


_FAULTS = st.sampled_from(["", "", "", "refused", "lost_answer", "lost", "slow"])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=5),
    faults=st.lists(_FAULTS, max_size=12),
    rejected=st.sets(st.integers(0, 11), max_size=2),
)
def test_faults_and_kills_lose_nothing_and_double_nothing(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, bool]], faults: list[str], rejected: set[int]
) -> None:
    """Processes that die anywhere, a sink that loses, refuses and is slow: after enough runs every score is there
    once, a mark is only where every score of the item is at every required sink, no item was published untrue, and a
    refusal that is stored is not asked for again; one that died with its process is.
    """
    house, shelf = House(tmp_path_factory.mktemp("house"), 12), Shelf()
    keys = {f"i{n:03}.Odd" for n in rejected}
    left, deaths, refused = list(faults), 0, dict[str, int]()
    house.sink.fault = lambda key: "rejected" if key in keys else left.pop() if left else ""

    def check() -> None:
        done = {each.id for each in items(12)} - set(house.scored.unseen(STREAM, [each.id for each in items(12)]))
        assert {f"{each}.Odd" for each in done} <= set(house.sink.rows())
        assert done <= set(shelf.ids())
        with house.database.read() as connection:
            failed = connection.scalars(sa.text("SELECT key FROM outbox WHERE state = 'failed'")).all()
        for key in failed:
            assert house.sink.sent.count(key) == refused.setdefault(key, house.sink.sent.count(key))

    for calls, before in lives:
        life = Life(calls, before)
        house.now += timedelta(seconds=LEASE + 1)
        state = build_run_state(house.database, lambda: house.now)
        state = RunState(*(life.guarded(getattr(state, each.name)) for each in fields(state)))
        sinks = (Outlet(cast(MessageSink, _Guarded(house.sink, life))), Outlet(cast(Sink, life.guarded(shelf))))
        ports = Ports(life.guarded(house.scored), state, sinks, clock=lambda: house.now)
        with suppress(Killed):
            asyncio.run(run_monitor(house.plan(limits=RunLimits(chunk=5)), ports))
        deaths += life.left < 0
        check()
    outlets = (Outlet(house.sink), Outlet(shelf))
    for _ in range(len(faults) + 3):
        report = house.run(*outlets, limits=RunLimits(chunk=5))
        check()
        if not any(each.pending or each.sent for each in report.published):
            break
    whole = expected(12)
    assert house.sink.rows() == {key: value for key, value in whole.items() if key not in keys}
    assert shelf.ids() == [each.id for each in items(12)]
    assert house.marked() == 12 - len(keys)
    assert refused.keys() == keys and all(times <= 1 + deaths for times in refused.values())


class _Guarded:
    """A sink of messages in a process that dies."""

    def __init__(self, inner: Folder, life: Life) -> None:
        self.name = inner.name
        mortal = life.guarded(inner)
        self.pack, self.send, self.verify, self.aclose = mortal.pack, mortal.send, mortal.verify, mortal.aclose


class Whole(Folder):
    """A sink that is told of runs too, by a message of no item with what was estimated."""

    def pack_run(self, run: RunReport) -> PackedBatch:
        return PackedBatch(
            tuple(SinkMessage(f"{run.run_id} {each.label}", "", {"n": each.n}) for each in run.estimates)
        )

    def runs(self) -> list[int]:
        return [json.loads(path.read_text())["n"] for path in self.folder.glob("monitor-*")]


class Cancelling(Whole):
    """A run that is stopped by Ctrl-C while it publishes."""

    async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        raise asyncio.CancelledError


def test_a_run_that_is_stopped_while_it_publishes_has_given_its_estimates(tmp_path: Path) -> None:
    """All was scored: the estimates are stored with it, and the next run brings them to the sink, once."""
    house = House(tmp_path)
    with suppress(asyncio.CancelledError):
        house.run(Outlet(Cancelling(tmp_path / "rows")))
    (stopped,) = build_state_reader(house.database).runs.newest_runs()
    assert (stopped.status, [each.n for each in stopped.estimates]) == ("interrupted", [10])
    sink = Whole(tmp_path / "rows")
    assert house.run(Outlet(sink)).estimates == ()
    assert (sink.runs(), house.marked()) == ([10], 10)


def test_two_runs_that_finish_a_draw_at_once_tell_the_sink_once(tmp_path: Path) -> None:
    """The slower one gives no estimates, to nobody."""

    class Slower(SqlReports):
        def report_samples(self, report: RunReport, samples: Iterable[str]) -> bool:
            super().report_samples(replace(report, run_id="the quicker one"), samples)
            return super().report_samples(report, samples)

    house, sink = House(tmp_path), Whole(tmp_path / "rows")
    ports = Ports(
        house.scored,
        replace(build_run_state(house.database), reports=Slower(house.database)),
        (Outlet(sink),),
        shared=True,
    )
    report = asyncio.run(run_monitor(house.plan(), ports))
    assert (report.status, report.estimates, sink.runs()) == ("done", (), [])
    assert any("reports the estimates" in note for note in report.notes)


def test_a_draw_that_another_run_reported_meanwhile_is_in_no_estimate(tmp_path: Path) -> None:
    """What a killed run left is given up to the quicker one, and the run's own draw is estimated alone."""

    class Slower(SqlReports):
        def report_samples(self, report: RunReport, samples: Iterable[str]) -> bool:
            super().report_samples(replace(report, run_id="the quicker one"), ["killed"])
            return super().report_samples(report, samples)

    house, left = House(tmp_path), [DatasetItem(id=f"z{n}") for n in range(5)]
    store = replace(build_run_state(house.database), reports=Slower(house.database))
    score = MetricScore(MetricRef("Odd", "odd", "1", "digest"), 0.5, None, None)
    store.samples.save_sample("killed", STREAM, [Decision(each.id, True, 1.0, "all") for each in left], left)
    store.results.save_results("killed", STREAM, [ItemResult(each, (score,)) for each in left])
    ports = Ports(house.scored, store, (Outlet(house.sink),), shared=True)
    report = asyncio.run(run_monitor(house.plan(), ports))
    assert [each.n for each in report.estimates] == [10]


def test_an_item_that_two_runs_mark_at_once_is_counted_by_one(tmp_path: Path) -> None:
    """Both see that it is confirmed, and one of them is quicker."""

    class Slower(SqlOutbox):
        def close(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> int:
            self.quicker = super().close(stream, item_ids[:4], at)
            return super().close(stream, item_ids, at)

    house = House(tmp_path)
    slower = Slower(house.database)
    state = replace(build_run_state(house.database), outbox=slower)
    report = asyncio.run(run_monitor(house.plan(), Ports(house.scored, state, (Outlet(house.sink),), shared=True)))
    assert (report.status, slower.quicker, report.counts.marked, house.marked()) == ("done", 4, 6, 10)


def test_what_waits_is_not_looked_through_without_news(tmp_path: Path) -> None:
    """Of a sink that is down nothing is confirmed: a million items that wait are not gone through at every step."""

    class CountsLooks(SqlOutbox):
        looks = 0

        def find_confirmed(self, stream: Stream, sinks: Sequence[str] | None, size: int) -> list[str]:
            self.looks += 1
            return super().find_confirmed(stream, sinks, size)

    house = House(tmp_path, 100)
    house.sink.down = Unavailable
    outbox = CountsLooks(house.database)
    state = replace(build_run_state(house.database), outbox=outbox)
    ports = Ports(house.scored, state, (Outlet(house.sink),))
    asyncio.run(run_monitor(house.plan(), ports))
    looks, house.sink.down = outbox.looks, None
    publisher = Publisher(house.plan(), ports, build_state_reader(house.database).runs.newest_runs()[0])

    async def drained() -> int:
        async with publisher:
            for _ in range(20):
                await publisher.drain()
            return publisher.marked

    assert asyncio.run(drained()) == 100
    assert outbox.looks - looks <= 3


def test_what_another_run_packs_at_the_very_end_is_not_told_as_waiting(tmp_path: Path) -> None:
    """Of two runs at once the one that ends first has not failed to publish what the other is about to send."""

    class Beside(SqlOutbox):
        """Another run packs what it has scored whenever this one has looked for what is due, five times."""

        left = 5

        def next_due(self, stream: Stream, sink: str, now: datetime) -> datetime | None:
            found = super().next_due(stream, sink, now)
            self.pack_another()
            return found

        def count_unfinished(self, stream: Stream, now: datetime) -> list[OpenDeliveries]:
            self.pack_another()
            return super().count_unfinished(stream, now)

        def pack_another(self) -> None:
            if self.left:
                self.left -= 1
                item = DatasetItem(id=f"z{self.left}")
                state.samples.save_sample("other", STREAM, [Decision(item.id, True, 1.0, "all")], [item])
                score = MetricScore(MetricRef("Odd", "odd", "1", "digest"), 0.5, None, None)
                state.results.save_results("other", STREAM, [ItemResult(item, (score,))])
                self.pack(OTHER, 10, lambda batch: [Outgoing(house.sink.name, house.sink.pack(batch))], house.now)

    house = House(tmp_path)
    state = build_run_state(house.database, lambda: house.now)
    ports = Ports(house.scored, replace(state, outbox=Beside(house.database)), (Outlet(house.sink),), shared=True)
    report = asyncio.run(run_monitor(house.plan(), replace(ports, clock=lambda: house.now)))
    assert (report.status, report.published[0].pending, report.notes) == ("done", 0, ())
    assert house.sink.rows() == expected(10) | {f"z{number}.Odd": 0.5 for number in range(5)}


def test_a_sending_that_takes_longer_than_a_claim_stays_this_runs_own(tmp_path: Path) -> None:
    """The claim is renewed while the sink is at work: nobody else sends the same meanwhile."""
    house = House(tmp_path, 2)
    run = house.run(mode="hold")
    outbox, other = SqlOutbox(house.database), SqlOutbox(house.database)
    outbox.pack(run, 10, lambda batch: [Outgoing("folder", house.sink.pack(batch))], utc_now())

    lease = timedelta(seconds=6)  # renewed after two of them

    def leased_until() -> datetime:
        with house.database.read() as connection:
            return cast(datetime, connection.scalar(sa.select(outbox_table.c.leased_until).limit(1)))

    class Slow(Folder):
        async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
            first = leased_until()
            async with asyncio.timeout(60):
                while (renewed := leased_until()) == first:
                    await asyncio.sleep(0.01)
            self.in_time = renewed < first + lease
            over = first + timedelta(milliseconds=1)  # when the first claim is over
            self.taken = other.claim(STREAM, self.name, "pending", MessageClaim(over, over + timedelta(minutes=1), 9))
            return await super().send(messages)

    sink = Slow(tmp_path / "rows")
    context = DeliveryContext(
        outbox, STREAM, utc_now, AT_ONCE, Random(0), lambda batch: batch, lease=lease.total_seconds()
    )
    asyncio.run(SinkDelivery(Outlet(sink), context).serve())
    assert (sink.in_time, sink.taken, sink.rows()) == (True, [], expected(2))
