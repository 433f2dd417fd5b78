"""The way of finished items to the sinks, through the outbox (`core/state/outbox.py`): packed and stored, sent,
verified, and marked once every required sink has confirmed.

Each step is stored before the next one, and each may come again after a kill: packing and marking are one transaction
each, a message that was sent and not settled is sent again and leaves one copy.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import NamedTuple, Self

from shared.core.best_effort import attempt_async
from shared.core.counts import DeliveryStatus
from shared.core.ports import Batch
from shared.core.results import ItemResult, RunReport, Stream
from shared.core.state.outbox import MessageSink, OpenDeliveries, Outgoing, Outlet, SkippedScore
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publishing.delivery_tasks import DeliveryTasks
from shared.monitoring.publishing.publish_estimates import EstimatePublisher
from shared.monitoring.publishing.publishing_notes import describe_delivery, describe_kept_rows, make_delivery_status
from shared.monitoring.publishing.trial import name_batch_as_trial
from shared.monitoring.sink_delivery import DeliveryContext, SinkDelivery, pack_batch

_MARKED = 5000  # items marked at once
_SOON, _LATE = 0.05, 30.0  # seconds between two looks at the outbox, at least and at most


class PublishResult(NamedTuple):
    """What became of what was left of a stream: items marked, counts for each sink, and what the user must be told."""

    stream: Stream
    marked: int
    published: tuple[DeliveryStatus, ...]
    notes: tuple[str, ...]

    @property
    def all_there(self) -> bool:
        """Whether nothing required waits, has failed or is overdue."""
        return not any(each.holds_up or (each.required and each.failed_before) for each in self.published)


class Publisher:
    """Publishes what is finished of one plan's stream, in the background of a run from `wake` to `finish`.

    `marked` counts the items that were marked. Leaving it gives back what was claimed.
    """

    def __init__(self, plan: MonitorPlan, ports: Ports, run: RunReport) -> None:
        self._plan, self._ports, self._run = plan, ports, run
        self._store = ports.state.outbox
        rng = Random(run.run_id)
        self._context = context = DeliveryContext(
            self._store,
            plan.stream,
            ports.clock,
            plan.delivery_limits,
            rng,
            self._choose_published,
            secrets=plan.secrets,
        )
        self.deliveries = tuple(SinkDelivery(outlet, context) for outlet in ports.sinks)
        self._tasks = DeliveryTasks(self.deliveries)
        self._estimates = EstimatePublisher(plan, ports)
        self._required = [each.name for each in self.deliveries if each.outlet.required] if self.deliveries else None
        self._task: asyncio.Task[None] | None = None
        self._woken, self._ending = asyncio.Event(), False
        self._standing: list[OpenDeliveries] = []
        self._finished = False
        self._packed = 0
        self._known: int | None = None
        self.marked = 0

    async def __aenter__(self) -> Self:
        stream = self._plan.stream
        if self.deliveries:
            self._store.release(stream)
        for each in self.deliveries:  # a new run is a new try, and looks first for what an earlier one has sent
            self._store.retry_now(stream, each.name, False, self._ports.clock())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._tasks.close()
        if self.deliveries:
            self._store.release(self._plan.stream)

    async def drain(self) -> None:
        """Pack what is finished, send and look for what is due, and mark what is confirmed; waits for required sinks.

        Raises:
            StoreError: when the state cannot be used; what was sent and not settled comes again.
        """
        if self.deliveries:
            while self._pack() >= self._plan.limits.chunk:
                await self._tasks.serve_all()  # while the batch is in memory
            await self._tasks.serve_all()
        self._mark()

    def wake(self) -> None:
        """Say that there are finished items: they are published while the caller goes on."""
        if not self.deliveries:
            self._mark()
            return
        self._woken.set()
        if self._task is None:
            self._task = asyncio.ensure_future(self._keep_draining())

    async def finish(self, bounded: bool = True) -> None:
        """Publish what is left; wait for what is under way to required sinks, in all no longer than `Patience.verify`.
        Sinks that are best effort are left after `Patience.leave` when `bounded`.

        Raises:
            StoreError: when the state could not be used, now or in the background.
        """
        self._ending, self._known = True, None  # also what other runs have confirmed and not marked
        if self._task is not None:
            self._woken.set()
            await self._task
            self._task = None
        if self.deliveries:  # what a worker had that was killed meanwhile is taken over now
            self._store.release(self._plan.stream, own=False)
        await self.drain()
        end = asyncio.get_running_loop().time() + self._plan.delivery_limits.verify
        await self._wait(end)
        if await self._tasks.leave(self._plan.delivery_limits.leave if bounded else None):
            self._store.release(self._plan.stream)
        await self._wait(end)
        self._finished = True

    def store_report(self, run: RunReport, samples: Sequence[str] = ()) -> None:
        """Store the estimates of what was packed, all of it, for the sinks that take that; they are published with the
        rest. `samples` are those that the run itself reports.

        Raises:
            StoreError: when the state cannot be used.
        """
        while self._estimates.wanted and self._pack():
            pass
        self._estimates.store(run, samples)

    async def _wait(self, end: float) -> None:
        """Serve required sinks until nothing is due, or until `end` by the loop's clock for what is under way: the time
        that tries take counts too, for a sink may hang.
        """
        while (wait := self._remaining_wait(end - asyncio.get_running_loop().time())) is not None:
            await asyncio.sleep(wait)
            await self.drain()

    def _remaining_wait(self, left: float) -> float | None:
        """Seconds after which required sinks are served once more; None when it is enough.

        It goes by what stands now, and that is what the run ends with: beside other runs something else may stand a
        moment later, such as messages that one of them has packed and nobody has tried yet.
        """
        now = self._ports.clock()
        self._standing = self._read_standing(now)
        required = {each.name: each for each in self.deliveries if each.outlet.required}
        rows = [each for each in self._standing if each.sink in required]
        waits = [(required[each.sink].seconds_until(each.next_due, now), each.state) for each in rows]
        if (0.0, "pending") in waits:
            return _SOON
        soonest = min((wait for wait, _ in waits if wait is not None), default=None)
        return None if soonest is None or soonest > left else max(soonest, _SOON)

    def result(self) -> PublishResult:
        """What was published until now, and what is left; nothing is sent."""
        published = self.delivery_statuses()
        return PublishResult(self._plan.stream, self.marked, published, tuple(self.notes(published)))

    def delivery_statuses(self) -> tuple[DeliveryStatus, ...]:
        """What became of this run's messages, and what stands for each sink: when it had finished, else now."""
        now, limit = self._ports.clock(), self._plan.delivery_limits.overdue
        if not self._finished:
            self._standing = self._read_standing(now)
        return tuple(make_delivery_status(each, self._standing, now, limit) for each in self.deliveries)

    def _read_standing(self, now: datetime) -> list[OpenDeliveries]:
        return self._store.count_unfinished(self._plan.stream, now) if self.deliveries else []

    def notes(self, published: Sequence[DeliveryStatus]) -> list[str]:
        """What the user must be told of what is not at its sink."""
        found = [note for each in published for note in describe_delivery(each)]
        return found + [describe_kept_rows(name, count) for name, count in self._count_other_sinks().items()]

    def _count_other_sinks(self) -> dict[str, int]:
        """How many rows are stored for sinks that the monitor does not have any more."""
        known = {each.name for each in self.deliveries}
        found = Counter[str]()
        for each in self._standing:
            found[each.sink] += each.count if each.sink not in known else 0
        return dict(+found)

    async def _keep_draining(self) -> None:
        while True:
            self._woken.clear()
            await self.drain()
            if self._ending:
                return
            wait = _next_wait(each for each in self.deliveries if not self._tasks.is_busy(each))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LATE if wait is None else min(max(wait, _SOON), _LATE)):
                    await self._woken.wait()

    def _pack(self) -> int:
        left: dict[str, tuple[SkippedScore, ...]] = {}
        items: list[str] = []

        def pack(batch: Batch) -> list[Outgoing]:
            items.extend(result.item.id for result in batch.results)
            chosen = self._choose_published(batch)
            self._context.packed = chosen
            outgoing = [Outgoing(each.name, pack_batch(each.outlet, chosen)) for each in self.deliveries]
            left.update({each.sink: each.packed.skipped for each in outgoing if each.packed is not None})
            return outgoing

        count = self._store.pack(self._run, self._plan.limits.chunk, pack, self._ports.clock())
        self._packed += count
        self._estimates.note_packed(items)
        for each in self.deliveries:  # only now are they stored
            each.count_skipped(left.get(each.name, ()))
        return count

    def _mark(self) -> None:
        """Mark what is confirmed; looked for only when there is news, as each look goes through all that waits."""
        stream = self._plan.stream
        known = self._packed + sum(each.done.verified + each.done.skipped for each in self.deliveries)
        if self.deliveries and known == self._known:
            return
        while ids := self._store.find_confirmed(stream, self._required, _MARKED):
            now = self._ports.clock()
            # Closed after it is marked: a kill in between marks the same items again, which changes nothing. Where all
            # state is in one database, closing is marking.
            if not self._ports.shared:
                self._ports.scored.mark(stream, ids, now)
            closed = self._store.close(stream, ids, now)
            self.marked += closed if self._ports.shared else len(ids)  # of a shared stream another run may be quicker
            if len(ids) < _MARKED:
                break
        self._known = known

    def _choose_published(self, batch: Batch) -> Batch:
        """The batch with the metrics that are to be published, by the names that sinks get."""
        only = self._plan.publish_only

        def keep(result: ItemResult) -> ItemResult:
            scores = tuple(row for row in result.scores if row.label in only or row.parent in only)
            return result._replace(scores=scores, failures=tuple(f for f in result.failures if f.metric.label in only))

        chosen = replace(batch, results=tuple(map(keep, batch.results))) if only else batch
        return name_batch_as_trial(chosen) if self._plan.history == "trial" else chosen


@asynccontextmanager
async def closing_sinks(outlets: Iterable[Outlet]) -> AsyncIterator[None]:
    """Close the sinks afterwards; what goes wrong with that is no failure."""
    try:
        yield
    finally:
        for each in outlets:
            if isinstance(each.sink, MessageSink):
                await attempt_async(each.sink.aclose())


async def publish_pending(plan: MonitorPlan, ports: Ports, run: RunReport, failed: bool) -> PublishResult:
    """Publish what is left of a stream without reading its source or scoring, as `run`, one of its runs; with `failed`
    try failed messages again, as if they were new.

    Raises:
        StoreError: when the state cannot be used.
    """
    async with Publisher(plan, ports, run) as publisher:
        for each in ports.sinks if failed else ():
            ports.state.outbox.retry_now(plan.stream, each.name, True, ports.clock())
        publisher.store_report(run)
        await publisher.finish(bounded=False)
        return publisher.result()


def _next_wait(deliveries: Iterable[SinkDelivery]) -> float | None:
    """Seconds until one of them has something to do; None when none has."""
    return min((wait for each in deliveries if (wait := each.wait()) is not None), default=None)
