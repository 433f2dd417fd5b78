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

from shared.core.best_effort import attempt, attempt_async
from shared.core.ports import Batch
from shared.core.published import DeliveryStatus
from shared.core.results import ItemResult, RunReport, Stream
from shared.core.state.outbox import MessageSink, Outgoing, Outlet, Packed, RunSink, Skipped, Standing
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publishing_notes import kept_for, notes_of, published_by
from shared.monitoring.sink_delivery import Courier, Desk, Turns

_MARKED = 5000  # items marked at once
_SOON, _LATE = 0.05, 30.0  # seconds between two looks at the outbox, at least and at most


class Rest(NamedTuple):
    """What became of what was left of a stream: items marked, counts for each sink, and what the user must be told."""

    stream: Stream
    marked: int
    published: tuple[DeliveryStatus, ...]
    notes: tuple[str, ...]

    @property
    def all_there(self) -> bool:
        """Whether nothing required waits or has failed."""
        return not any(each.required and (each.pending or each.failed or each.failed_before) for each in self.published)


class Publisher:
    """Publishes what is finished of one plan's stream, in the background of a run from `wake` to `finish`.

    `marked` counts the items that were marked. Leaving it gives back what was claimed.
    """

    def __init__(self, plan: MonitorPlan, ports: Ports, run: RunReport) -> None:
        self._plan, self._ports, self._run = plan, ports, run
        self._store = ports.runs
        rng = Random(run.run_id)
        self._desk = desk = Desk(self._store, plan.stream, ports.clock, plan.patience, rng, self._chosen)
        self.couriers = tuple(Courier(outlet, desk) for outlet in ports.sinks)
        self._turns = Turns(self.couriers)
        self._required = [each.name for each in self.couriers if each.outlet.required] if self.couriers else None
        self._task: asyncio.Task[None] | None = None
        self._woken, self._ending = asyncio.Event(), False
        self._standing: list[Standing] = []
        self._finished = False
        self._packed = 0
        self._known: int | None = None
        self.marked = 0

    async def __aenter__(self) -> Self:
        stream = self._plan.stream
        if self.couriers:
            self._store.release(stream)
        for each in self.couriers:  # a new run is a new try, and looks first for what an earlier one has sent
            self._store.again(stream, each.name, False, self._ports.clock())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._turns.close()
        if self.couriers:
            self._store.release(self._plan.stream)

    async def drain(self) -> None:
        """Pack what is finished, send and look for what is due, and mark what is confirmed; waits for required sinks.

        Raises:
            StoreError: when the state cannot be used; what was sent and not settled comes again.
        """
        if self.couriers:
            while self._pack() >= self._plan.limits.chunk:
                await self._turns.take()  # while the batch is in memory
            await self._turns.take()
        self._mark()

    def wake(self) -> None:
        """Say that there are finished items: they are published while the caller goes on."""
        if not self.couriers:
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
        if self.couriers:  # what a worker had that was killed meanwhile is taken over now
            self._store.release(self._plan.stream, own=False)
        await self.drain()
        end = asyncio.get_running_loop().time() + self._plan.patience.verify
        await self._wait(end)
        if await self._turns.leave(self._plan.patience.leave if bounded else None):
            self._store.release(self._plan.stream)
        await self._wait(end)
        self._finished = True

    def tell(self, run: RunReport) -> None:
        """Store what is known of the whole run for the sinks that take that; it is published with the rest.

        Raises:
            StoreError: when the state cannot be used.
        """
        found = [(each, each.outlet.sink) for each in self.couriers]
        packed = [(each, sink.pack_run(run)) for each, sink in found if isinstance(sink, RunSink)]
        for each, made in packed:
            self._store.add(run, Outgoing(each.name, made), self._ports.clock())

    async def _wait(self, end: float) -> None:
        """Serve required sinks until nothing is due, or until `end` by the loop's clock for what is under way: the time
        that tries take counts too, for a sink may hang.
        """
        while (wait := self._still(end - asyncio.get_running_loop().time())) is not None:
            await asyncio.sleep(wait)
            await self.drain()

    def _still(self, left: float) -> float | None:
        """Seconds after which required sinks are served once more; None when it is enough.

        It goes by what stands now, and that is what the run ends with: beside other runs something else may stand a
        moment later, such as messages that one of them has packed and nobody has tried yet.
        """
        now = self._ports.clock()
        self._standing = self._stands(now)
        required = {each.name: each for each in self.couriers if each.outlet.required}
        rows = [each for each in self._standing if each.sink in required]
        waits = [(required[each.sink].until(each.next_due, now), each.state) for each in rows]
        if (0.0, "pending") in waits:
            return _SOON
        soonest = min((wait for wait, _ in waits if wait is not None), default=None)
        return None if soonest is None or soonest > left else max(soonest, _SOON)

    def rest(self) -> Rest:
        """What was published until now, and what is left; nothing is sent."""
        published = self.published()
        return Rest(self._plan.stream, self.marked, published, tuple(self.notes(published)))

    def published(self) -> tuple[DeliveryStatus, ...]:
        """What became of this run's messages, and what stands for each sink: when it had finished, else now."""
        if not self._finished:
            self._standing = self._stands(self._ports.clock())
        return tuple(published_by(each, self._standing) for each in self.couriers)

    def _stands(self, now: datetime) -> list[Standing]:
        return self._store.standing(self._plan.stream, now) if self.couriers else []

    def notes(self, published: Sequence[DeliveryStatus]) -> list[str]:
        """What the user must be told of what is not at its sink."""
        found = [note for each in published for note in notes_of(each)]
        return found + [kept_for(name, count) for name, count in self._elsewhere().items()]

    def _elsewhere(self) -> dict[str, int]:
        """How many rows are stored for sinks that the monitor does not have any more."""
        known = {each.name for each in self.couriers}
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
            wait = _soonest(each for each in self.couriers if not self._turns.busy(each))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LATE if wait is None else min(max(wait, _SOON), _LATE)):
                    await self._woken.wait()

    def _pack(self) -> int:
        left: dict[str, tuple[Skipped, ...]] = {}

        def pack(batch: Batch) -> list[Outgoing]:
            chosen = self._chosen(batch)
            self._desk.packed = chosen
            outgoing = [Outgoing(each.name, _packed(each.outlet, chosen)) for each in self.couriers]
            left.update({each.sink: each.packed.skipped for each in outgoing if each.packed is not None})
            return outgoing

        count = self._store.pack(self._run, self._plan.limits.chunk, pack, self._ports.clock())
        self._packed += count
        for each in self.couriers:  # only now are they stored
            each.skipped(left.get(each.name, ()))
        return count

    def _mark(self) -> None:
        """Mark what is confirmed; looked for only when there is news, as each look goes through all that waits."""
        stream = self._plan.stream
        known = self._packed + sum(each.done.verified + each.done.skipped for each in self.couriers)
        if self.couriers and known == self._known:
            return
        while ids := self._store.confirmed(stream, self._required, _MARKED):
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

    def _chosen(self, batch: Batch) -> Batch:
        """The batch with the labels that are to be published."""
        only = self._plan.publish_only
        if not only:
            return batch

        def keep(result: ItemResult) -> ItemResult:
            scores = tuple(row for row in result.scores if row.label in only or row.parent in only)
            return result._replace(scores=scores, failures=tuple(f for f in result.failures if f.metric.label in only))

        return replace(batch, results=tuple(map(keep, batch.results)))


@asynccontextmanager
async def closing(outlets: Iterable[Outlet]) -> AsyncIterator[None]:
    """Close the sinks afterwards; what goes wrong with that is no failure."""
    try:
        yield
    finally:
        for each in outlets:
            if isinstance(each.sink, MessageSink):
                await attempt_async(each.sink.aclose())


async def publish_rest(plan: MonitorPlan, ports: Ports, run: RunReport, failed: bool) -> Rest:
    """Publish what is left of a stream without reading its source or scoring, as `run`, one of its runs; with `failed`
    try failed messages again, as if they were new.

    Raises:
        StoreError: when the state cannot be used.
    """
    async with Publisher(plan, ports, run) as publisher:
        for each in ports.sinks if failed else ():
            ports.runs.again(plan.stream, each.name, True, ports.clock())
        await publisher.finish(bounded=False)
        return publisher.rest()


def _packed(outlet: Outlet, batch: Batch) -> Packed | None:
    """What one sink gets: None for a whole batch. One that is best effort and cannot pack it skips it."""
    sink = outlet.sink
    if not isinstance(sink, MessageSink):
        return None
    if outlet.required:
        return sink.pack(batch)
    found = attempt(sink.pack, batch)
    if isinstance(found, Exception):
        why = f"it could not be packed: {type(found).__name__}: {found}"
        return Packed(skipped=tuple(Skipped(result.item.id, "", why) for result in batch.results))
    return found


def _soonest(couriers: Iterable[Courier]) -> float | None:
    """Seconds until one of them has something to do; None when none has."""
    return min((wait for each in couriers if (wait := each.wait()) is not None), default=None)
