"""The runner: items in, results out, as a stream in bounded memory.

Synchronous metrics run in place, without touching the loop's scheduler per item. Coroutines and blocking metrics run
on a fixed number of workers (no task per item). A metric that fails on an item is a `MetricFailure` in the result,
and nothing else stops. Only what no later item can change ends a run: a wrong configuration (the key of a model) or a
`FatalError` (the budget); it is told once, and what was finished by then is still given out. Nothing is ever stored on
a metric.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.core.best_effort import error_message
from shared.core.errors import ConfigError, FatalError, Postponed
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricScore
from shared.scoring.metric import BoundMetric
from shared.scoring.time_limits import await_with_limit, cancel_all, error_kind, signal_end
from shared.scoring.tree import Node, add_nodes
from shared.scoring.verdict_rows import ItemVerdicts, record_answer

if TYPE_CHECKING:
    from shared.scoring.killable_pool import KillablePool

Earlier = Callable[[DatasetItem], Sequence[MetricScore]]
"""Scores that an item has from an earlier try, by the same metrics: they are not made again."""

_ENDS = (ConfigError, FatalError)  # what every later item would meet again
_YIELD_SECONDS = 0.02  # seconds of synchronous work after which the loop may do something else


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """`max_concurrent` calls at once (>= 1); `throttle_delay` seconds at least between the starts of two items;
    `timeout` in seconds for coroutines and blocking metrics that have none of their own, None for no limit.
    """

    max_concurrent: int = 5
    throttle_delay: float = 0.0
    timeout: float | None = 300.0

    def __post_init__(self) -> None:
        if self.max_concurrent < 1:
            raise ConfigError(f"max_concurrent: expected a number >= 1, found {self.max_concurrent!r}")


class Runner:
    """Scores items with metrics and the tree above them. Stateless between runs."""

    def __init__(
        self, metrics: Sequence[BoundMetric], nodes: Sequence[Node] = (), options: RunnerOptions | None = None
    ) -> None:
        self.metrics = tuple(metrics)
        self.nodes = tuple(nodes)
        self.options = options or RunnerOptions()
        self._inline = tuple(m for m in self.metrics if not (m.is_async or m.blocking))
        self._slow = tuple(m for m in self.metrics if m.is_async or m.blocking)

    def run(
        self,
        items: Iterable[DatasetItem] | AsyncIterable[DatasetItem],
        earlier: Earlier | None = None,
        leftover: list[ItemResult] | None = None,
    ) -> AsyncGenerator[ItemResult, None]:
        """One result per item. Their order is that of the items when all metrics are synchronous, else of completion.

        `earlier` gives the scores an item has already; they come again in its result without being made again. When
        the generator is closed early, results that were finished and not taken are put into `leftover`.

        Raises:
            ConfigError, FatalError: what a metric met that every later item would meet too, after the results of
                the calls that were under way; and whatever `items` itself raises.
        """
        if isinstance(items, Iterable) and not self._slow and not self.options.throttle_delay:
            return self._run_inline(items, earlier)
        return self._run_workers(items, earlier, [] if leftover is None else leftover)

    async def _run_inline(
        self, items: Iterable[DatasetItem], earlier: Earlier | None
    ) -> AsyncGenerator[ItemResult, None]:
        metrics, now = self._inline, time.perf_counter
        breath = now() + _YIELD_SECONDS
        for item in items:
            verdicts = ItemVerdicts(item)
            _call_inline(metrics if earlier is None else _metrics_to_run(metrics, verdicts, earlier), verdicts)
            yield self._result(verdicts)
            if now() > breath:
                await asyncio.sleep(0)
                breath = now() + _YIELD_SECONDS

    async def _run_workers(
        self,
        items: Iterable[DatasetItem] | AsyncIterable[DatasetItem],
        earlier: Earlier | None,
        leftover: list[ItemResult],
    ) -> AsyncGenerator[ItemResult, None]:
        feed = _Feed(self, items, earlier)
        finished: asyncio.Queue[ItemVerdicts | None] = asyncio.Queue(self.options.max_concurrent * 2)
        pool = self._pool()
        count = self.options.max_concurrent if self._slow else 1  # one keeps the items' order
        workers = [asyncio.ensure_future(self._work(feed, finished, pool)) for _ in range(count)]
        closer = asyncio.ensure_future(signal_end(workers, finished))
        try:
            while (verdicts := await finished.get()) is not None:
                yield self._result(verdicts)
            await asyncio.gather(*workers)  # raises what the items' source raised
            if feed.ended_by is not None:
                raise feed.ended_by
        finally:
            feed.close()
            await cancel_all((closer, *workers))
            leftover.extend(self._rest(finished))
            if pool is not None:
                pool.close()

    def _rest(self, finished: asyncio.Queue[ItemVerdicts | None]) -> Iterator[ItemResult]:
        """What is finished and was not taken."""
        while not finished.empty():
            verdicts = finished.get_nowait()
            if verdicts is not None:
                yield self._result(verdicts)

    def _result(self, verdicts: ItemVerdicts) -> ItemResult:
        if self.nodes and not verdicts.postponed:
            add_nodes(self.nodes, verdicts)
        return verdicts.result()

    def _pool(self) -> KillablePool | None:
        if not any(metric.blocking for metric in self._slow):
            return None
        from shared.scoring.killable_pool import KillablePool  # late: only blocking metrics need processes

        return KillablePool(self.options.max_concurrent)

    async def _work(self, feed: _Feed, finished: asyncio.Queue[ItemVerdicts | None], pool: KillablePool | None) -> None:
        while (unit := await feed.next()) is not None:
            verdicts, metric = unit
            if metric is not None:
                try:
                    await self._call(metric, verdicts, pool)
                except _ENDS as error:
                    feed.end(error)
                    continue  # the item stays unfinished: its `pending` never comes to 0
                verdicts.pending -= 1
            if not verdicts.pending and not feed.closed:
                await finished.put(verdicts)

    async def _call(self, metric: BoundMetric, verdicts: ItemVerdicts, pool: KillablePool | None) -> None:
        limit = self.options.timeout if metric.timeout is None else metric.timeout
        deadline = asyncio.timeout(limit)
        try:
            if metric.blocking and pool is not None:
                answer: Any = await pool.call(metric, verdicts.item, limit)
            else:
                async with deadline:
                    answer = metric.call(verdicts.item)
                    answer = None if answer is None else await await_with_limit(answer, limit)
            record_answer(metric, answer, verdicts)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            verdicts.fail(metric, "Cancelled", str(error) or "something that the metric waited for was cancelled")
        except Postponed:
            verdicts.postponed.append(metric.label)
        except _ENDS:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a metric's failure is a value (design, promise 2)
            over = deadline.expired() or (metric.blocking and isinstance(error, TimeoutError))
            if over and limit is not None:
                verdicts.fail(metric, "Timeout", f"took longer than its limit of {limit:g} s")
            else:
                verdicts.fail(metric, error_kind(error), error_message(error))


def _call_inline(metrics: Sequence[BoundMetric], verdicts: ItemVerdicts) -> None:
    item = verdicts.item
    for metric in metrics:
        try:
            record_answer(metric, metric.call(item), verdicts)
        except Postponed:
            verdicts.postponed.append(metric.label)
        except _ENDS:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a metric's failure is a value (design, promise 2)
            verdicts.fail(metric, type(error).__name__, error_message(error))


def _metrics_to_run(metrics: Sequence[BoundMetric], verdicts: ItemVerdicts, earlier: Earlier) -> Sequence[BoundMetric]:
    """Take over the earlier scores of these metrics; the metrics that have none yet."""
    there = earlier(verdicts.item)
    if not there:
        return metrics
    have = {(score.label, score.metric.digest) for score in there}
    labels = {metric.label for metric in metrics if (metric.label, metric.ref.digest) in have}
    verdicts.scores.extend(row for row in there if row.label in labels or row.parent in labels)
    return [metric for metric in metrics if metric.label not in labels]


class _Feed:
    """Hands out units of work, (item, metric), one item after the other, at the pace of the throttle.

    A unit without metric is an item that has nothing slow left to do.
    """

    def __init__(
        self, runner: Runner, items: Iterable[DatasetItem] | AsyncIterable[DatasetItem], earlier: Earlier | None
    ) -> None:
        self._runner = runner
        self._sync: Iterator[DatasetItem] = iter(items) if isinstance(items, Iterable) else iter(())
        self._async = None if isinstance(items, Iterable) else aiter(items)
        self._earlier: Earlier = earlier or (lambda item: ())
        self._units: list[tuple[ItemVerdicts, BoundMetric]] = []
        self._lock = asyncio.Lock()
        self._next_start = 0.0
        self._ended = False
        self.closed = False
        self.ended_by: ConfigError | FatalError | None = None

    def end(self, error: ConfigError | FatalError) -> None:
        """Hand out nothing more, for this reason (the first one stands); what is under way is still finished."""
        self.ended_by = self.ended_by or error

    def close(self) -> None:
        """Hand out nothing more: nobody takes results any longer."""
        self.closed = True

    async def next(self) -> tuple[ItemVerdicts, BoundMetric | None] | None:
        """The next unit; None when the items have come to an end."""
        if self._is_over():
            return None
        if self._units:
            return self._units.pop()
        async with self._lock:
            if self._units:  # another worker has opened an item meanwhile
                return self._units.pop()
            if self._is_over():
                return None
            item = await self._item()
            try:
                return None if item is None else self._open(item)
            except _ENDS as error:  # of a metric in place: what is under way elsewhere is still finished
                self.end(error)
                return None

    def _is_over(self) -> bool:
        return self.closed or self.ended_by is not None

    def _open(self, item: DatasetItem) -> tuple[ItemVerdicts, BoundMetric | None]:
        verdicts = ItemVerdicts(item)
        missing = set(id(metric) for metric in _metrics_to_run(self._runner.metrics, verdicts, self._earlier))
        _call_inline([m for m in self._runner._inline if id(m) in missing], verdicts)
        slow = [m for m in self._runner._slow if id(m) in missing]
        verdicts.pending = len(slow)
        if not slow:
            return verdicts, None
        self._units.extend((verdicts, metric) for metric in reversed(slow[1:]))
        return verdicts, slow[0]

    async def _item(self) -> DatasetItem | None:
        if self._ended:
            return None
        self._ended = True  # also when the source raises: it is not asked again
        item = await anext(self._async, None) if self._async is not None else next(self._sync, None)
        if item is not None:
            self._ended = False
            await self._pace()
        return item

    async def _pace(self) -> None:
        delay = self._runner.options.throttle_delay
        if delay:
            await asyncio.sleep(self._next_start - time.monotonic())
            self._next_start = time.monotonic() + delay
