import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from shared.core.errors import ConfigError, OverBudget, Postponed, SourceError
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricScore
from shared.scoring.metric import BoundMetric, MetricOptions, bind
from shared.scoring.runner import Runner, RunnerOptions
from shared.scoring.tree import Child, Node, order_nodes
from tests.scoring import sample_metrics as sample
from tests.scoring.scored import run


def items(n: int, text: str = "hello") -> list[DatasetItem]:
    return [DatasetItem(id=str(i), query="yes", actual_output=text) for i in range(n)]


def kinds(result: ItemResult) -> dict[str, str]:
    """Failures by label."""
    return {each.metric.label: each.kind for each in result.failures}


def values(result: ItemResult) -> dict[str, float]:
    """Scores by label."""
    return {each.label: each.value for each in result.scores}


def slow(label: str, target: Any = sample.Waits, **options: Any) -> BoundMetric:
    return bind(target, label, {}, MetricOptions(**options))


def in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, and let no task be left."""

    async def watched() -> Any:
        answer = await work
        left = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"
        return answer

    return asyncio.run(watched())


async def in_bursts(some: list[DatasetItem]) -> AsyncIterator[DatasetItem]:
    """The items, the source waiting for something before each."""
    for item in some:
        await asyncio.sleep(0)
        yield item


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [[], [slow("Waits")]], ids=["in place", "on workers"])
def test_one_metric_failing_leaves_the_others(extra: list[BoundMetric]) -> None:
    """A failure is a value: counted with its kind and words, and every other score is there."""
    metrics = [bind(sample.explodes, "Bad"), bind(sample.plain, "Good"), bind(sample.out_of_range, "Far"), *extra]
    for result in run(items(3), metrics):
        assert kinds(result) == {"Bad": "KeyError", "Far": "OutOfRange"}
        assert result.failures[0].message == "'boom'"
        assert values(result) == {"Good": 1.0} | {each.label: 1.0 for each in extra}


def test_labels_of_one_class_do_not_collide() -> None:
    """Two labels of one class with other parameters once got one score; here each has its own row and value."""
    metrics = [bind(sample.AtLeast, "Short", {"n": 3}), bind(sample.AtLeast, "Long", {"n": 50})]
    assert [values(each) for each in run(items(2), metrics)] == [{"Short": 1.0, "Long": 0.0}] * 2


def test_items_of_one_id_are_kept_apart() -> None:
    """Two items with one id give two results with their own scores, not four rows."""
    two = [DatasetItem(id="same", actual_output=text) for text in ("a", "abc")]
    metrics = [bind(sample.AtLeast, "L", {"n": 3}), slow("W")]
    assert sorted(values(each)["L"] for each in run(two, metrics)) == [0.0, 1.0]


def test_no_metrics_and_no_items() -> None:
    """Nothing to do is done at once, in every mode."""
    assert [each.scores for each in run(items(2), [])] == [(), ()]
    for metrics in ([], [bind(sample.plain, "P")], [slow("W")], [bind(sample.blocks, "B")]):
        assert run([], metrics) == []


def test_the_order_of_results() -> None:
    """With synchronous metrics only, results come in the order of the items, also from an asynchronous source."""

    async def collect() -> list[str]:
        found = []
        async for each in Runner([bind(sample.plain, "P")]).run(in_bursts(items(200))):
            found.append(each.item.id)
            await asyncio.sleep(0)
        return found

    assert in_loop(collect()) == [str(i) for i in range(200)]
    assert [each.item.id for each in run(items(200), [bind(sample.plain, "P")])] == [str(i) for i in range(200)]


@pytest.mark.parametrize("source", [list, in_bursts])
def test_every_item_comes_once(source: Callable[[list[DatasetItem]], Any]) -> None:
    """Many workers, several slow metrics an item: no result is lost and none doubled."""
    metrics = [slow("A"), bind(sample.plain, "P"), slow("B"), slow("C", sample.explodes_later)]

    async def collect() -> list[ItemResult]:
        runner = Runner(metrics, options=RunnerOptions(max_concurrent=7))
        return [each async for each in runner.run(source(items(300)))]

    found = in_loop(collect())
    assert sorted(int(each.item.id) for each in found) == list(range(300))
    assert all(values(each) == {"A": 1.0, "B": 1.0, "P": 1.0} and kinds(each) == {"C": "KeyError"} for each in found)


def test_nothing_is_stored_on_a_metric() -> None:
    """Two runs at once of one runner do not disturb each other."""
    runner = Runner([slow("W"), bind(sample.AtLeast, "L", {"n": 3})])

    async def one(text: str) -> list[float]:
        return [values(each)["L"] async for each in runner.run(items(50, text))]

    async def both() -> list[list[float]]:
        return list(await asyncio.gather(one("abc"), one("a")))

    assert in_loop(both()) == [[1.0] * 50, [0.0] * 50]


def test_long_synchronous_work_lets_the_loop_breathe() -> None:
    """A server that scores in its own loop still answers others."""

    def takes_its_time(item: DatasetItem) -> float:
        time.sleep(0.015)
        return 1.0

    async def both() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        async for _ in Runner([bind(takes_its_time, "T")]).run(items(8)):
            pass
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        return ticks

    assert in_loop(both()) >= 2


def test_a_metric_that_does_not_apply_is_not_awaited() -> None:
    """A coroutine metric whose input is missing says nothing, like any other."""
    result = run([DatasetItem(id="x")], [bind(sample.waits, "W"), bind(sample.blocks, "B")])[0]
    assert result.not_applicable == ("W", "B")


# --- earlier scores ---------------------------------------------------------------------------------------------------


def test_earlier_scores_are_not_made_again() -> None:
    """A restart pays only for what is missing: what is there comes again, with its sub-metrics, and is not called."""
    calls: list[str] = []

    def counted(item: DatasetItem) -> float:
        calls.append(item.id)
        return 0.25

    metrics = [bind(sample.in_parts, "P"), bind(counted, "C"), slow("W")]
    first = run(items(2), metrics)
    assert calls == ["0", "1"]

    def earlier(item: DatasetItem) -> Sequence[MetricScore]:
        return first[0].scores if item.id == first[0].item.id else ()

    async def again(some: list[BoundMetric]) -> list[ItemResult]:
        return [each async for each in Runner(some).run(items(2), earlier)]

    for some in (metrics, metrics[:2]):
        calls.clear()
        found = {each.item.id: values(each) for each in in_loop(again(some))}
        assert calls == [each for each in ("0", "1") if each != first[0].item.id]
        labels = {"P", "P_short", "P_own", "P_free", *(each.label for each in some)}
        assert all(set(each) == labels for each in found.values())


def test_a_label_without_an_earlier_score_is_made() -> None:
    """Two labels of the same class and parameters share a digest; the one that failed is tried again all the same."""
    one, two = (bind(sample.plain, label) for label in ("One", "Two"))
    before = run(items(1), [one])[0].scores

    async def again() -> list[ItemResult]:
        return [each async for each in Runner([one, two]).run(items(1), lambda item: before)]

    assert values(in_loop(again())[0]) == {"One": 1.0, "Two": 1.0}


def test_scores_of_another_metric_are_not_taken_over() -> None:
    """The same label with other parameters is another metric: its earlier score does not count."""
    before = run(items(1), [bind(sample.AtLeast, "L", {"n": 3})])[0].scores

    async def again() -> list[ItemResult]:
        runner = Runner([bind(sample.AtLeast, "L", {"n": 50})])
        return [each async for each in runner.run(items(1), lambda item: before)]

    assert values(in_loop(again())[0]) == {"L": 0.0}


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_timeout_cancels_the_coroutine() -> None:
    """A coroutine over its limit is really stopped, and the other metrics go on."""
    ended: list[str] = []

    async def hangs(item: DatasetItem) -> float:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ended.append(item.id)
            raise
        return 1.0

    metrics = [bind(hangs, "Hangs", {}, MetricOptions(timeout=0.05)), slow("W")]
    found = run(items(3), metrics)
    assert sorted(ended) == ["0", "1", "2"]
    assert all(kinds(each) == {"Hangs": "Timeout"} and values(each) == {"W": 1.0} for each in found)
    assert found[0].failures[0].message == "took longer than its limit of 0.05 s"


def test_the_limit_of_the_run_holds_where_a_metric_has_none() -> None:
    """`evaluation.timeout` is the default, a metric's own limit wins."""
    metrics = [bind(sample.waits, "Default", {"seconds": 0.3})]
    metrics += [bind(sample.waits, "Own", {"seconds": 0.3}, MetricOptions(timeout=30.0))]
    result = run(items(1), metrics, options=RunnerOptions(timeout=0.05))[0]
    assert kinds(result) == {"Default": "Timeout"}
    assert values(result) == {"Own": 1.0}


def test_a_metrics_own_timeout_error_is_its_failure() -> None:
    """Only the runner's limit is called "Timeout"; what a client library raises keeps its name and words."""
    for limit in (30.0, None):
        failure = run(items(1), [slow("T", sample.times_out_itself)], options=RunnerOptions(timeout=limit))[0].failures[
            0
        ]
        assert (failure.kind, failure.message) == ("TimeoutError", "the service took 5 s")


def test_a_cancellation_inside_of_a_metric_is_its_failure() -> None:
    """A client that cancels its own task loses one score; the worker and the item stay."""
    found = run(items(20), [slow("G", sample.gives_up), slow("W")], options=RunnerOptions(max_concurrent=2))
    assert len(found) == 20
    assert all(kinds(each) == {"G": "Cancelled"} and values(each) == {"W": 1.0} for each in found)


@pytest.mark.parametrize("concurrency", [1, 3, 10])
def test_concurrency_is_bounded_and_used(concurrency: int) -> None:
    """Never more calls at once than allowed, over all metrics together; and as many as allowed."""
    running = most = 0

    async def counts(item: DatasetItem) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return 1.0

    metrics = [bind(counts, "A"), bind(counts, "B")]
    assert len(run(items(30), metrics, options=RunnerOptions(max_concurrent=concurrency))) == 30
    assert most == concurrency


@pytest.mark.parametrize("wrong", [0, -1])
def test_no_concurrency_is_a_config_error(wrong: int) -> None:
    """A run without a worker would wait for ever."""
    with pytest.raises(ConfigError, match=f"max_concurrent: expected a number >= 1, found {wrong}"):
        RunnerOptions(max_concurrent=wrong)


@pytest.mark.parametrize("metric", [bind(sample.plain, "P"), slow("W")], ids=["synchronous", "coroutine"])
def test_the_throttle_really_paces(metric: BoundMetric) -> None:
    """The starts of items are at least the delay apart: four starts have three delays between them."""
    begin = time.monotonic()
    assert len(run(items(4), [metric], options=RunnerOptions(throttle_delay=0.1))) == 4
    assert time.monotonic() - begin >= 0.3


def test_the_throttle_does_not_wait_for_nothing() -> None:
    """The first item starts at once, and after the last nobody waits for a next one."""

    async def collect() -> int:
        runner = Runner([slow("W")], options=RunnerOptions(throttle_delay=600))
        async with asyncio.timeout(20):
            return len([each async for each in runner.run(items(1))])

    assert in_loop(collect()) == 1


# --- sources ----------------------------------------------------------------------------------------------------------


def endless(seen: list[int]) -> Iterator[DatasetItem]:
    for i in count():
        seen.append(i)
        yield DatasetItem(id=str(i), query="yes", actual_output="hello")


async def endless_async(seen: list[int]) -> AsyncIterator[DatasetItem]:
    for item in endless(seen):
        await asyncio.sleep(0)
        yield item


MODES = {"in place": [bind(sample.plain, "P")], "on workers": [slow("W"), bind(sample.plain, "P")]}


@pytest.mark.parametrize("metrics", MODES.values(), ids=MODES)
@pytest.mark.parametrize("source", [endless, endless_async])
def test_a_stream_is_read_no_farther_than_needed(
    source: Callable[[list[int]], Any], metrics: list[BoundMetric]
) -> None:
    """Bounded memory: with a slow reader the source is a handful of items ahead; closing early leaves no task."""

    async def some() -> int:
        seen: list[int] = []
        results = Runner(metrics, options=RunnerOptions(max_concurrent=4)).run(source(seen))
        most = 0
        for taken in range(1, 101):
            await anext(results)
            await asyncio.sleep(0.001)
            most = max(most, len(seen) - taken)
        await results.aclose()
        return most

    assert in_loop(some()) <= 4 + 2 * 4 + 1


def breaks() -> Iterator[DatasetItem]:
    yield from items(3)
    time.sleep(0.01)
    raise SourceError("line 4 is no JSON")


async def breaks_later() -> AsyncIterator[DatasetItem]:
    for item in items(3):
        yield item
    await asyncio.sleep(0.01)
    raise SourceError("line 4 is no JSON")


class GoesOn:
    """An iterator that would go on after its error."""

    def __init__(self) -> None:
        self.rest = items(9)

    def __iter__(self) -> Iterator[DatasetItem]:
        return self

    def __next__(self) -> DatasetItem:
        item = self.rest.pop(0)
        if item.id == "3":
            raise SourceError("line 4 is no JSON")
        return item


@pytest.mark.parametrize("metrics", MODES.values(), ids=MODES)
@pytest.mark.parametrize("source", [breaks, breaks_later, GoesOn])
def test_a_source_that_breaks_raises_after_what_is_finished(source: Any, metrics: list[BoundMetric]) -> None:
    """Errors of the source are the caller's to see, and what was scored before is handed out first."""

    async def collect() -> list[str]:
        found: list[str] = []
        with pytest.raises(SourceError, match="line 4"):
            async for each in Runner(metrics, options=RunnerOptions(max_concurrent=1)).run(source()):
                found.append(each.item.id)
        return found

    assert in_loop(collect()) == ["0", "1", "2"]


def test_a_cancelled_run_stops() -> None:
    """Ctrl-C or a shutdown ends a run in the middle of its calls and leaves nothing running."""

    async def cancelled() -> bool:
        async def collect() -> None:
            async for _ in Runner([bind(sample.waits, "W", {"seconds": 600})]).run(items(50)):
                pass

        task = asyncio.ensure_future(collect())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert in_loop(cancelled()) is True


# --- what ends a run, and what leaves an item -------------------------------------------------------------------------


class Ends:
    """Raises an error on one item; on the others it takes its time and answers."""

    def __init__(self, error: Exception, on: str) -> None:
        self.error, self.on = error, on
        self.asked: list[str] = []

    async def metric(self, item: DatasetItem) -> float:
        self.asked.append(item.id)
        if item.id == self.on:
            raise self.error
        await asyncio.sleep(0.02)
        return 1.0


@pytest.mark.parametrize("error", [ConfigError("the key is wrong"), OverBudget("the budget is spent")])
def test_what_no_later_item_can_change_ends_the_run(error: Exception) -> None:
    """One wrong key is told once; what was under way is still given out, and nothing new is begun."""
    ends = Ends(error, on="2")
    runner = Runner([bind(ends.metric, "Asks")], options=RunnerOptions(max_concurrent=3))
    given: list[str] = []

    async def all_of_it() -> None:
        with pytest.raises(type(error), match="is"):
            async for result in runner.run(items(100)):
                given.append(result.item.id)

    in_loop(all_of_it())
    assert given == ["0", "1"]
    assert len(ends.asked) == 3


def test_a_metric_in_place_ends_the_run_too() -> None:
    """A synchronous metric may ask a model as well."""

    def asks(item: DatasetItem) -> float:
        if item.id == "1":
            raise OverBudget("the budget is spent")
        return 1.0

    with pytest.raises(OverBudget):
        run(items(3), [bind(asks, "Asks")])


def test_a_metric_in_place_that_ends_the_run_leaves_the_others_their_answers() -> None:
    """What is under way is paid for, and is given out whichever metric ends the run; nothing new is begun."""

    def asks(item: DatasetItem) -> float:
        if item.id == "2":
            raise OverBudget("the budget is spent")
        return 1.0

    others = Ends(ValueError(), on="none")
    runner = Runner([bind(asks, "Asks"), bind(others.metric, "Slow")], options=RunnerOptions(max_concurrent=4))
    given: list[str] = []

    async def all_of_it() -> None:
        with pytest.raises(OverBudget):
            async for result in runner.run(items(100)):
                given.append(result.item.id)

    in_loop(all_of_it())
    assert given == others.asked == ["0", "1"]


def test_who_waited_for_a_slow_source_begins_nothing_after_the_end() -> None:
    """Workers stand in line for the next item; the end of the run is told to those, too."""
    ends = Ends(OverBudget("the budget is spent"), on="0")

    async def source() -> AsyncIterator[DatasetItem]:
        for item in items(100):
            await asyncio.sleep(0.01)
            yield item

    async def all_of_it() -> None:
        with pytest.raises(OverBudget):
            async for _ in Runner([bind(ends.metric, "Asks")], options=RunnerOptions(max_concurrent=5)).run(source()):
                pass

    in_loop(all_of_it())
    assert len(ends.asked) <= 2  # one item was on its way already


@pytest.mark.parametrize("slow_too", [False, True], ids=["in place", "on workers"])
def test_a_postponed_answer_is_no_failure(slow_too: bool) -> None:
    """An item whose answer comes later has neither a failure nor a node for it, and says whom it waits for."""

    def waits(item: DatasetItem) -> float:
        if item.id == "1":
            raise Postponed("the batch is not back yet")
        return 1.0

    metrics = [bind(waits, "Later"), *([slow("Waits")] if slow_too else [])]
    nodes = order_nodes([Node("All", (Child("Later"),))], {each.label: each.ref.digest for each in metrics})
    results = sorted(run(items(3), metrics, nodes), key=lambda each: each.item.id)
    assert [each.postponed for each in results] == [(), ("Later",), ()]
    assert all(not each.failures for each in results)
    assert [("All" in values(each)) for each in results] == [True, False, True]
