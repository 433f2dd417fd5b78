"""The whole flow on real stores: nothing scored twice, nothing lost, failures loud, draws finished."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shared.core.counts import ModelUsage
from shared.core.errors import BusyError, OverBudget, Postponed, SourceError, StoreError
from shared.core.extraction import BrokenRecord, SourceNotice
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricFailure, MetricRef, MetricScore, RunReport, Stream
from shared.core.state.outbox import Outlet
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_reports import SqlReports
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.schema.tables import decisions
from shared.files.scored_csv import CsvScoredItems
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import MonitorPlan, NoSpending, Ports, RunLimits
from shared.monitoring.rescore_policy import RescorePolicy
from shared.monitoring.sampling.strategies import All, MostRecent, RandomSample, TemporalDecay
from shared.scoring.metric import MetricOptions, bind
from shared.scoring.metrics.judges.cascade import Cascade
from shared.scoring.runner import Runner
from shared.scoring.tree import Child, Node, order_nodes
from tests.contracts.adapters.run_states import waiting_items

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
STREAM = Stream("list:test", "monitor")


class ListSource:
    """A source over a list that a test may change between runs."""

    key = "list:test"

    def __init__(self, records: Sequence[DatasetItem | BrokenRecord | SourceNotice]) -> None:
        self.records = list(records)

    def fetch(self, now: datetime) -> Iterator[DatasetItem | BrokenRecord | SourceNotice]:
        for record in self.records:
            if isinstance(record, Exception):
                raise record
            yield record


class Shelf:
    """A sink that keeps batches by id, and can be told to fail first."""

    name = "shelf"

    def __init__(self, failures: int = 0) -> None:
        self.batches: dict[str, Batch] = {}
        self.failures = failures

    async def publish(self, batch: Batch) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the shelf is out of reach")
        self.batches[batch.id] = batch

    def rows(self) -> list[tuple[str, str, float]]:
        every = (result for batch in self.batches.values() for result in batch.results)
        return sorted((result.item.id, row.label, row.value) for result in every for row in result.scores)


class Counting:
    """A metric that notes on which items it was called, and fails where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails_on: set[str] = set()

    def metric(self, item: DatasetItem) -> float:
        self.calls.append(item.id)
        if item.id in self.fails_on:
            raise RuntimeError("not today")
        return float(len(item.actual_output or "") % 2)


def items(count: int, start: int = 0) -> list[DatasetItem]:
    return [
        DatasetItem(id=f"i{n:03}", actual_output="x" * n, source_timestamp=NOW - timedelta(minutes=n))
        for n in range(start, start + count)
    ]


class House:
    """A monitor on a real SQLite file, and what a test looks at."""

    def __init__(self, folder: Path, source: ListSource, **plan: Any) -> None:
        database = open_database(folder / "state.db")
        self.database, self.scored = database, SqlScoredItems(database)
        self.state, self.reader = build_run_state(database), build_state_reader(database)
        self.counting, self.shelf, self.source = Counting(), Shelf(), source
        self.now = NOW
        self.plan = MonitorPlan(
            name="monitor",
            stream=STREAM,
            source=source,
            strategy=All(),
            runner=Runner([bind(self.counting.metric, "Odd")]),
        )
        self.plan = replace(self.plan, **plan)

    def run(self, **changes: Any) -> RunReport:
        sinks = (Outlet(self.shelf),)
        ports = Ports(self.scored, self.state, sinks, clock=lambda: self.now)
        return asyncio.run(run_monitor(replace(self.plan, **changes), replace(ports)))


def test_a_second_run_scores_nothing_again(tmp_path: Path) -> None:
    """The promise of every cron job: what was scored is skipped, what is new is scored."""
    house = House(tmp_path, ListSource(items(10)))
    assert house.run().counts.scored == 10
    second = house.run()
    assert (second.status, second.counts.already_scored, second.counts.scored) == ("nothing_new", 10, 0)
    house.source.records += items(3, 10)
    assert house.run().counts.scored == 3
    assert len(house.counting.calls) == len(set(house.counting.calls)) == 13
    assert len(house.shelf.rows()) == 13


def test_duplicates_inside_a_batch_are_scored_once(tmp_path: Path) -> None:
    """Two records of one id are one item; the first stands, the second is counted."""
    twice = [DatasetItem(id="a", actual_output="x"), DatasetItem(id="a", actual_output="xx"), *items(2)]
    report = House(tmp_path, ListSource(twice)).run()
    assert (report.counts.duplicates, report.counts.scored) == (1, 3)


def test_items_without_an_id_are_known_by_their_content(tmp_path: Path) -> None:
    """An extractor that forgets the id does not make every run pay again."""
    house = House(tmp_path, ListSource([DatasetItem(query="q", actual_output="x")]))
    house.run()
    assert house.run().counts.already_scored == 1


def test_an_item_that_was_not_drawn_never_comes_again(tmp_path: Path) -> None:
    """Re-entry into a later pool would bias every non-uniform strategy."""
    house = House(tmp_path, ListSource(items(50)), strategy=RandomSample(n=10, seed=1))
    assert house.run().counts.drawn == 10
    second = house.run()
    assert (second.counts.pool, second.counts.drawn, second.status) == (0, 0, "nothing_new")


def test_broken_records_are_counted_and_the_others_scored(tmp_path: Path) -> None:
    """One record that cannot be read costs one record."""
    house = House(
        tmp_path, ListSource([*items(4), BrokenRecord("a.jsonl:5", "not an object"), SourceNotice("limit hit")])
    )
    report = house.run()
    assert (report.counts.read, report.counts.broken, report.counts.scored) == (5, 1, 4)
    assert report.broken == ("a.jsonl:5: not an object",)
    assert "limit hit" in report.notes


def test_an_extractor_that_breaks_most_records_fails_the_run(tmp_path: Path) -> None:
    """ "Nothing to do" and "everything is broken" are not the same."""
    report = House(tmp_path, ListSource([BrokenRecord("f:1", "x"), BrokenRecord("f:2", "x"), *items(1)])).run()
    assert report.status == "too_many_failures"
    assert report.counts.scored == 1


def test_a_failed_metric_is_tried_again_and_only_it(tmp_path: Path) -> None:
    """A failure is recorded, counted, and made good by the next run, without scoring the rest again."""
    house = House(tmp_path, ListSource(items(10)))
    other = Counting()
    house.plan = replace(house.plan, runner=Runner([bind(house.counting.metric, "Odd"), bind(other.metric, "Other")]))
    house.counting.fails_on = {"i003"}
    first = house.run()
    assert (first.counts.scored, first.counts.failed_items, first.counts.failures) == (9, 1, 1)
    assert first.failure_kinds == {"RuntimeError": 1}
    assert "i003" not in {row[0] for row in house.shelf.rows()}
    house.counting.fails_on = set()
    second = house.run()
    assert (second.status, second.counts.resumed, second.counts.scores) == ("done", 1, 1)
    assert other.calls.count("i003") == 1
    assert len(house.shelf.rows()) == 20


def test_an_item_that_fails_for_ever_is_given_up(tmp_path: Path) -> None:
    """After max_attempts an item is left alone and said, so that one poisoned trace does not cost every hour."""
    house = House(tmp_path, ListSource(items(10)), limits=RunLimits(max_attempts=2))
    house.counting.fails_on = {"i003"}
    reports = [house.run() for _ in range(3)]
    assert house.counting.calls.count("i003") == 2
    assert "given up" in reports[1].notes[0]
    assert [report.counts.marked for report in reports] == [9, 1, 0]


def test_too_many_failures_fail_the_run(tmp_path: Path) -> None:
    """A run whose share of failures passes max_failure_share says so; what was scored is kept."""
    house = House(tmp_path, ListSource(items(10)))
    house.counting.fails_on = {f"i{n:03}" for n in range(5)}
    report = house.run()
    assert report.status == "too_many_failures"
    assert len(house.shelf.rows()) == 5


def test_a_run_that_only_tries_failures_again_is_judged_by_them(tmp_path: Path) -> None:
    """All of the draw fails again: too many failures, said first. With new items beside them, those alone decide."""
    house = House(tmp_path, ListSource(items(4)))
    house.counting.fails_on = {"i000", "i001", "i002", "i003"}
    limits = RunLimits(max_failure_share=0.5, max_attempts=9)
    assert house.run(limits=limits).status == "too_many_failures"
    again = house.run(limits=limits)
    assert (again.status, again.counts.resumed) == ("too_many_failures", 4)
    assert again.notes[0].startswith("100% of the scores of the draws that were tried again still fail (allowed 50%)")
    house.source.records += items(1, 10)
    assert house.run(limits=limits).status == "done"
    house.counting.fails_on = {"i000"}
    assert [house.run(limits=limits).status for _ in range(2)] == ["done", "done"]


def test_nothing_is_marked_before_the_sinks_confirm(tmp_path: Path) -> None:
    """A sink that is down loses no score: the next run publishes what was stored, without scoring it again."""
    house = House(tmp_path, ListSource(items(10)))
    house.shelf.failures = 1
    first = house.run()
    assert (first.status, first.counts.scored, first.counts.marked) == ("unpublished", 10, 0)
    assert "the shelf is out of reach" in first.notes[0] and "trueline publish" in first.notes[0]
    assert house.scored.stats().get(STREAM, 0) == 0
    report = house.run()
    assert report.counts.marked == 10
    assert len(house.counting.calls) == 10
    assert len(house.shelf.rows()) == 10


def test_a_source_that_breaks_half_way_fails_the_run_and_draws_nothing(tmp_path: Path) -> None:
    """Half a pool would be drawn with wrong probabilities, so a truncated file draws nothing."""
    house = House(tmp_path, ListSource(items(5)))
    house.source.records.append(SourceError("truncated"))  # type: ignore[arg-type]  # the fake raises it
    with pytest.raises(SourceError):
        house.run()
    assert house.counting.calls == []
    house.source.records.pop()
    assert house.run().counts.scored == 5


def test_an_interrupted_run_keeps_what_it_scored(tmp_path: Path) -> None:
    """Ctrl-C in mid-run: what is done is kept, and the next run finishes the same draw."""
    house = House(tmp_path, ListSource(items(30)), limits=RunLimits(chunk=5))

    async def interrupted() -> None:
        async def slow(item: DatasetItem) -> float:
            house.counting.calls.append(item.id)
            if len(house.counting.calls) == 12:
                task.cancel()
            await asyncio.sleep(0.001)
            return 1.0

        plan = replace(house.plan, runner=Runner([bind(slow, "Odd")]))
        ports = Ports(house.scored, house.state, (Outlet(house.shelf),), clock=lambda: NOW)
        task = asyncio.ensure_future(run_monitor(plan, ports))
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    kept = len(list(waiting_items(house.state, STREAM, 5)))
    assert 0 < 30 - kept < 30
    report = house.run()
    assert report.counts.resumed == report.counts.scored == kept
    assert len(house.shelf.rows()) == 30


def test_policies_bring_items_back(tmp_path: Path) -> None:
    """never: once for ever; content: when what the metric reads changed; metric: when the metric changed."""
    reads = ("actual_output",)
    for policy, changed_content, changed_metric in (("never", 0, 0), ("content", 1, 0), ("metric", 0, 2)):
        folder = tmp_path / policy
        folder.mkdir()
        house = House(folder, ListSource(items(2)), again=RescorePolicy(policy, reads, ("d1",)))  # type: ignore[arg-type]
        house.run()
        house.source.records[0] = replace(items(1)[0], query="not read")
        assert house.run().counts.scored == 0
        house.source.records[0] = replace(items(1)[0], actual_output="changed")
        assert house.run().counts.scored == changed_content
        again = RescorePolicy(policy, reads, ("d2",))  # type: ignore[arg-type]
        assert house.run(again=again).counts.scored == changed_metric


def test_a_dry_run_publishes_and_marks_nothing(tmp_path: Path) -> None:
    """The pipeline walks, the sinks stay empty."""
    house = House(tmp_path, ListSource(items(5)), mode="dry_run")
    assert house.run().status == "dry_run"
    assert house.shelf.batches == {} and house.scored.stats() == {}


def test_two_runs_at_once_take_turns(tmp_path: Path) -> None:
    """The second run waits for the first, and says whom it waited for when that takes too long."""
    house = House(tmp_path, ListSource(items(3)), limits=RunLimits(lock_wait=0.1))
    other = build_run_state(open_database(tmp_path / "state.db"))
    with other.claims.lock(STREAM, 1.0), pytest.raises(BusyError):
        house.run()
    assert house.run().counts.scored == 3


def test_the_csv_store_remembers_without_the_database(tmp_path: Path) -> None:
    """A cron job whose only memory is the cached CSV scores nothing twice."""
    house = House(tmp_path, ListSource(items(6)))
    house.scored = CsvScoredItems(tmp_path / "scored.csv")  # type: ignore[assignment]  # another adapter of the port
    house.run()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    later = House(fresh, house.source)
    later.scored = CsvScoredItems(tmp_path / "scored.csv")  # type: ignore[assignment]  # likewise
    assert later.run().counts.already_scored == 6


def test_only_chosen_labels_are_published(tmp_path: Path) -> None:
    """`publishing.metric_names` narrows what sinks get; everything is stored all the same."""
    house = House(tmp_path, ListSource(items(2)), publish_only=frozenset({"Odd"}))
    runner = Runner([bind(house.counting.metric, "Odd"), bind(Counting().metric, "Other")])
    report = house.run(runner=runner)
    assert {row[1] for row in house.shelf.rows()} == {"Odd"}
    assert {estimate.label for estimate in report.estimates} == {"Odd", "Other"}


def test_a_queue_gives_no_estimate(tmp_path: Path) -> None:
    """The most recent items are shown, and nothing is averaged."""
    report = House(tmp_path, ListSource(items(20)), strategy=MostRecent(n=5)).run()
    (estimate,) = report.estimates
    assert estimate.inspection and estimate.n == 5 and estimate.mean is None


def test_estimates_carry_n_and_an_interval(tmp_path: Path) -> None:
    """A number comes with its uncertainty."""
    report = House(tmp_path, ListSource(items(40)), strategy=RandomSample(n=20, seed=3)).run()
    (estimate,) = report.estimates
    assert estimate.n == 20
    assert estimate.mean_low is not None and estimate.mean is not None and estimate.mean_high is not None
    assert estimate.mean_low < estimate.mean < estimate.mean_high


def test_an_inverse_metric_says_which_side_passes(tmp_path: Path) -> None:
    """A latency's threshold is read as "below", in the report as in the verdict."""
    metric = bind(Counting().metric, "Slow", options=MetricOptions(threshold=0.5, inverse=True))
    (estimate,) = House(tmp_path, ListSource(items(4))).run(runner=Runner([metric])).estimates
    assert estimate.inverse and estimate.pass_rate == 0.5


def test_a_seed_does_not_draw_the_same_places_of_every_pool(tmp_path: Path) -> None:
    """With a fixed seed and one new item a run, about the rate is drawn over time, not none and not all."""
    strategy = TemporalDecay(rate=0.5, half_life_hours=24, seed=7)
    house = House(tmp_path, ListSource([]), strategy=strategy)
    drawn = 0
    for n in range(40):
        house.source.records = list(items(1, n))
        drawn += house.run().counts.drawn
    assert 5 < drawn < 35


def test_the_same_seed_and_pool_give_the_same_draw(tmp_path: Path) -> None:
    """A draw can be repeated: seed and pool decide it, not the moment of the run."""
    draws = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        house = House(tmp_path / name, ListSource(items(50)), strategy=RandomSample(n=10, seed=7))
        house.run()
        draws.append({row[0] for row in house.shelf.rows()})
    assert draws[0] == draws[1]


def test_retried_items_do_not_enter_the_next_runs_estimates(tmp_path: Path) -> None:
    """Yesterday's scores are yesterday's: a failed metric tried again changes no estimate of today's draw."""
    house = House(tmp_path, ListSource(items(10)))
    house.counting.fails_on = {"i001", "i003"}
    house.run()
    house.source.records += items(4, 10)
    report = house.run()
    assert (report.estimates[0].n, report.counts.resumed) == (4, 2)


def test_one_stubborn_item_does_not_fail_quiet_runs(tmp_path: Path) -> None:
    """One item of a draw that fails again is no alarm by itself: the share is that of the whole draw."""
    house = House(tmp_path, ListSource(items(10)))
    house.counting.fails_on = {"i003"}
    assert [house.run().status for _ in range(2)] == ["done", "done"]


def test_a_finished_draw_is_estimated_whole(tmp_path: Path) -> None:
    """A run that finishes an interrupted draw counts what was scored before; half a draw gives no estimates."""
    house = House(tmp_path, ListSource(items(20)))
    decisions = [Decision(item.id, True, 1.0, "all") for item in items(20)]
    house.state.samples.save_sample("killed", STREAM, decisions, items(20))
    first = [ItemResult(item, asyncio.run(one(house, item))) for item in items(12)]
    house.state.results.save_results("killed", STREAM, first)
    report = house.run()
    assert (report.counts.scored, report.estimates[0].n) == (8, 20)
    assert report.estimates[0].mean == 0.5


def test_a_draw_of_a_run_that_was_killed_before_it_reported_is_estimated(tmp_path: Path) -> None:
    """All is scored and stored, and nothing new comes: the next run has the estimates, and only that one."""
    house = House(tmp_path, ListSource(items(20)))
    house.state.samples.save_sample(
        "killed", STREAM, [Decision(item.id, True, 1.0, "all") for item in items(20)], items(20)
    )
    house.state.results.save_results(
        "killed", STREAM, [ItemResult(item, asyncio.run(one(house, item))) for item in items(20)]
    )
    report = house.run()
    assert (report.status, report.counts.scored, report.estimates[0].n, report.estimates[0].mean) == (
        "done",
        0,
        20,
        0.5,
    )
    assert "20 items were scored by other runs" in report.notes[0]
    assert house.run().estimates == ()


def test_an_item_that_has_scores_of_two_versions_is_estimated_once(tmp_path: Path) -> None:
    """Tried again with a metric that was changed since, it counts with the newest of its scores."""
    house = House(tmp_path, ListSource(items(20)))
    house.state.samples.save_sample(
        "killed", STREAM, [Decision(item.id, True, 1.0, "all") for item in items(20)], items(20)
    )
    older, gone = MetricRef("Odd", "odd", "0", "0" * 64), MetricRef("Gone", "gone", "1", "1" * 64)
    scored = [ItemResult(item, (MetricScore(older, 0.0, None, None),)) for item in items(20)]
    scored[1] = scored[1]._replace(failures=(MetricFailure(gone, "i001", "RuntimeError", "not today"),))
    house.state.results.save_results("killed", STREAM, scored)
    estimates = {each.label: each for each in house.run().estimates}
    assert (estimates["Odd"].n, estimates["Odd"].mean) == (20, 0.05)


async def one(house: House, item: DatasetItem) -> tuple[MetricScore, ...]:
    (result,) = [result async for result in house.plan.runner.run([item])]
    return result.scores


def test_a_node_is_not_stored_half_made(tmp_path: Path) -> None:
    """A node over a metric that failed is made when the metric is, so its stored value is the whole one."""
    house = House(tmp_path, ListSource(items(4)))
    metric = bind(house.counting.metric, "Odd")
    other = bind(Counting().metric, "Other")
    nodes = order_nodes(
        [Node("Both", (Child("Odd"), Child("Other")), exclude_failed=True)],
        {"Odd": metric.ref.digest, "Other": other.ref.digest},
    )
    runner = Runner([metric, other], nodes)
    house.counting.fails_on = {"i001"}
    house.run(runner=runner)
    house.counting.fails_on = set()
    house.run(runner=runner)
    assert ("i001", "Both", 1.0) in house.shelf.rows()
    assert len([row for row in house.shelf.rows() if row[1] == "Both"]) == 4


def test_what_is_held_back_is_published_by_a_later_run(tmp_path: Path) -> None:
    """A run that does not publish marks nothing, so nothing is kept from the sinks for ever."""
    house = House(tmp_path, ListSource(items(5)))
    assert house.run(mode="hold").counts.scored == 5
    assert house.shelf.batches == {} and house.scored.stats() == {}
    assert house.run().counts.marked == 5
    assert len(house.shelf.rows()) == len(house.counting.calls) == 5


def test_marks_of_another_database_are_honoured(tmp_path: Path) -> None:
    """Two state databases that share one CSV do not score the same item twice."""
    csv = CsvScoredItems(tmp_path / "shared.csv")
    house = House(tmp_path, ListSource(items(6)))
    house.state.samples.save_sample("killed", STREAM, [Decision(i.id, True, 1.0, "all") for i in items(6)], items(6))
    csv.mark(STREAM, [item.id for item in items(4)], NOW)
    house.scored = csv  # type: ignore[assignment]  # another adapter of the port
    house.run()
    assert sorted(house.counting.calls) == ["i004", "i005"]


def test_killed_runs_do_not_look_as_if_they_ran(tmp_path: Path) -> None:
    """A run row that a kill left behind is closed by the next run of the monitor."""
    house = House(tmp_path, ListSource(items(2)))
    house.state.reports.save_run(replace(house.run(), run_id="killed", status="running"))
    house.run()
    killed = house.reader.runs.read_run("killed")
    assert killed is not None and killed.status == "interrupted"


class Purse:
    """A metric that pays for each call, until nothing is left."""

    def __init__(self, coins: int) -> None:
        self.coins = coins

    def metric(self, item: DatasetItem) -> float:
        if self.coins == 0:
            raise OverBudget("the budget of 3 calls is spent")
        self.coins -= 1
        return 1.0


def test_a_spent_budget_ends_the_run_and_keeps_what_was_scored(tmp_path: Path) -> None:
    """The run says so and gives no estimate of half a draw; the next one goes on where it ended."""
    house = House(tmp_path, ListSource(items(8)))
    purse = Purse(3)
    report = house.run(runner=Runner([bind(purse.metric, "Paid")]))
    assert (report.status, report.counts.scored, report.counts.failures) == ("over_budget", 3, 0)
    assert report.estimates == ()
    assert "the budget of 3 calls is spent" in report.notes[-1]
    purse.coins = 100
    report = house.run(runner=Runner([bind(purse.metric, "Paid")]))
    assert (report.status, report.counts.scored) == ("done", 5)
    assert [each.n for each in report.estimates] == [8]


def test_postponed_items_wait_for_the_next_run_without_a_try(tmp_path: Path) -> None:
    """An answer that comes later costs an item none of its tries; the run that has it scores and estimates."""
    house = House(tmp_path, ListSource(items(6)))
    there: set[str] = set()

    def later(item: DatasetItem) -> float:
        if item.id not in there:
            raise Postponed("the batch is not back yet")
        return 1.0

    runner = Runner([bind(later, "Later"), bind(house.counting.metric, "Odd")])
    for _ in range(6):  # more runs than an item has tries
        house.run(runner=runner)
    report = house.run(runner=runner)
    assert (report.status, report.counts.postponed, report.counts.failures) == ("done", 6, 0)
    assert report.estimates == ()
    there |= {f"i{n:03}" for n in range(6)}
    report = house.run(runner=runner)
    assert (report.counts.scored, report.counts.postponed) == (6, 0)
    assert {each.label: each.n for each in report.estimates} == {"Later": 6, "Odd": 6}
    assert len(house.shelf.rows()) == 12


def test_a_draw_is_reported_by_the_run_that_finishes_it_though_its_own_waits(tmp_path: Path) -> None:
    """Where answers come a run later, every run has something that waits; each draw has its estimates all the same."""
    house = House(tmp_path, ListSource([]))
    there: set[str] = set()

    def later(item: DatasetItem) -> float:
        if item.id not in there:
            raise Postponed("the batch is not back yet")
        return 1.0

    reports = []
    for n in range(4):
        house.source.records += items(6, 6 * n)
        reports.append(house.run(runner=Runner([bind(later, "Later")])))
        there |= {item.id for item in items(6, 6 * n)}
    assert [report.counts.postponed for report in reports] == [6, 6, 6, 6]
    assert [[each.n for each in report.estimates] for report in reports] == [[], [6], [6], [6]]


def test_a_run_that_cannot_publish_does_not_hide_that_it_could_not_read(tmp_path: Path) -> None:
    """Broken records are read again by the next run, also when the sink was out of reach as well."""
    house = House(tmp_path, ListSource([*items(2), *(BrokenRecord(f"f:{n}", "no JSON") for n in range(8))]))
    first = house.run(limits=RunLimits(max_broken_share=1.0))
    assert first.status == "done"
    before = house.reader.runs.last_read(STREAM)
    house.shelf.failures = 1
    house.source.records += items(2, 2)
    house.now += timedelta(hours=1)
    report = house.run(limits=RunLimits(max_broken_share=0.4))
    assert (report.status, report.published[0].pending) == ("too_many_failures", 1)
    assert house.reader.runs.last_read(STREAM) == before


class Spent(NoSpending):
    """Something is asked of a model."""

    def usage(self) -> tuple[ModelUsage, ...]:
        return (ModelUsage("Odd", "a-model"),)


class Busy(SqlReports):
    """A store that is busy once when the run's costs are written."""

    def save_run(self, report: RunReport) -> None:
        if report.spending.usage and not self.told:
            self.told = True
            raise StoreError("the database is locked")
        super().save_run(report)

    told = False


def test_a_store_that_is_busy_for_a_moment_counts_nothing_twice(tmp_path: Path) -> None:
    """What is stored is not stored again because the costs could not be written: one failure is one try."""
    house = House(tmp_path, ListSource(items(4)))

    async def slow(item: DatasetItem) -> float:
        await asyncio.sleep(0.0 if item.id == "i001" else 0.4)  # so that the first one is stored before the others end
        if item.id == "i001":
            raise RuntimeError("not today")
        return 1.0

    reports = Busy(house.database)
    state = replace(house.state, reports=reports)
    ports = Ports(house.scored, state, (Outlet(house.shelf),), clock=lambda: NOW, money=Spent(), shared=True)
    plan = replace(house.plan, runner=Runner([bind(slow, "Odd")]))
    plan = replace(plan, limits=RunLimits(max_failure_share=1.0))
    report = asyncio.run(run_monitor(plan, ports))
    assert reports.told and (report.counts.scored, report.counts.failed_items) == (3, 1)
    with house.database.read() as connection:
        tries = sa.select(decisions.c.attempts).where(decisions.c.item_id == "i001")
        assert connection.scalar(tries) == 1


def test_a_judge_that_fails_leaves_a_cascade_its_aggregate(tmp_path: Path) -> None:
    """Of 40 items 20 are judged, and 10 of those fail: the judged ones still count as half of the traffic."""

    async def ask(item: DatasetItem) -> float:
        if len(item.actual_output or "") % 4 == 0:
            raise RuntimeError("not today")
        return 0.0

    def unsure(item: DatasetItem) -> float:
        return 1.0 if len(item.actual_output or "") % 2 else 0.5

    parts = {"cheap": bind(unsure, "C.cheap"), "judge": bind(ask, "C.judge"), "low": 0.4, "high": 0.6}
    found = bind(Cascade, "C", parts | {"audit": 1e-9})
    nodes = order_nodes([Node("All", (Child("C"),))], {"C": found.ref.digest})
    report = House(tmp_path, ListSource(items(40)), runner=Runner([found], nodes)).run()
    assert [(each.label, each.n, each.failed) for each in report.estimates] == [("C", 30, 10), ("All", 30, 10)]
    assert [each.mean for each in report.estimates] == pytest.approx([0.5, 0.5])
