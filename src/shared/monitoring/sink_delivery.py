"""One sink's deliveries: what is sent when, and what a row becomes by what the sink says of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from shared.core.best_effort import attempt, attempt_async
from shared.core.clock import Clock
from shared.core.errors import FatalError, StoreError, TransientError
from shared.core.ports import Batch, Sink
from shared.core.results import Stream
from shared.core.state.outbox import (
    NOT_LOOKED,
    READ_FAILED,
    ClaimedMessage,
    MessageClaim,
    MessageOutcome,
    MessageSink,
    MessageState,
    OutboxStore,
    Outlet,
    PackedBatch,
    Receipt,
    SinkMessage,
    SkippedScore,
)
from shared.privacy.secret_gate import SecretGate

LEASE = 300.0
"""Seconds for which claimed rows are nobody else's; renewed while the sink is at work on them."""

T = TypeVar("T")

MOST = 1000
"""Messages of one claim."""

_LONGEST = 900.0  # seconds between two tries: less than an hour, so that every run of an hourly job tries again
_SOONEST = 0.1  # seconds at least between two looks for a message


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How long deliveries are waited for and tried. `verify` is how many seconds a run waits at its end, at most, until
    what it sent can be read back; `settle` is when it looks first, where the sink does not say. `leave` is how many
    seconds a sink of best effort has at the end of a run for what is under way. A message fails when it was sent
    `tries` times over at least `hours`; one that is not verified `overdue` hours after it was stored fails the run.
    """

    verify: float = 20.0
    settle: float = 1.0
    tries: int = 10
    hours: float = 72.0
    overdue: float = 2.0
    leave: float = 20.0


def settle_message(
    parcel: ClaimedMessage, receipt: Receipt, now: datetime, patience: DeliveryLimits, rng: Random
) -> MessageOutcome:
    """What a claimed row becomes by what the sink says of it. Pure but for `rng`, which spreads tries over time.

    Tries are 1, 2, 4, ... seconds apart, up to 15 minutes, times a factor from [0.5, 1); or as far as the sink asks
    for. A sent message is looked for after as long as it has been under way, four times at least until it counts as
    lost. Its age is that of the stored row, whichever process sent it.
    """
    sending = parcel.state == "pending"
    attempts = parcel.attempts + sending
    if receipt.state in ("verified", "failed"):
        sent_at = now if sending else parcel.sent_at
        return MessageOutcome(parcel, receipt.state, attempts, now, sent_at, receipt.reason)
    if receipt.state == "sent":
        sent_at = now if sending or parcel.sent_at is None else min(parcel.sent_at, now)  # the clock may be set back
        under_way = (now - sent_at).total_seconds()
        if under_way < receipt.lost_after:
            longest = min(_LONGEST, receipt.lost_after / 4, receipt.lost_after - under_way)
            wait = patience.settle if sending else min(max(under_way, patience.settle), longest)
            wait = max(wait if receipt.wait is None else receipt.wait, 0.0 if sending else _SOONEST)
            failed = READ_FAILED if receipt.lost_after == NOT_LOOKED else ""
            reason = f"{failed}{receipt.reason}"
            return MessageOutcome(parcel, "sent", attempts, now + timedelta(seconds=wait), sent_at, reason)
        why = f"it was accepted, and could not be read back within {receipt.lost_after / 60:g} minutes"
        lost = _schedule_retry(parcel, Receipt(receipt.key, "pending", why), attempts, now, patience, rng)
        return replace(lost, next_try_at=now)  # the sink is not busy: a short run must not end before it is sent again
    return _schedule_retry(parcel, receipt, attempts, now, patience, rng)


def _schedule_retry(
    parcel: ClaimedMessage, receipt: Receipt, attempts: int, now: datetime, patience: DeliveryLimits, rng: Random
) -> MessageOutcome:
    hours = (now - parcel.stored_at).total_seconds() / 3600
    if attempts >= patience.tries and hours >= patience.hours:
        why = f"given up after {attempts} tries in {hours:.0f} h: {receipt.reason or 'no answer'}"
        return MessageOutcome(parcel, "failed", attempts, now, parcel.sent_at, why)
    wait = min(2.0 ** min(attempts - 1, 20), _LONGEST) * rng.uniform(0.5, 1.0)
    wait = max(wait, receipt.wait or 0.0)
    return MessageOutcome(parcel, "pending", attempts, now + timedelta(seconds=wait), None, receipt.reason)


@dataclass(slots=True)
class DeliveryCounts:
    """What became of one sink's messages in this run."""

    verified: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class DeliveryContext:
    """What deliveries are made with. `chosen` narrows a batch to what is published; `packed` is the batch that was
    packed last, as it was chosen. `secrets` hides secrets in what sinks raise.
    """

    store: OutboxStore
    stream: Stream
    clock: Clock
    patience: DeliveryLimits
    rng: Random
    chosen: Callable[[Batch], Batch]
    packed: Batch | None = None
    lease: float = LEASE
    secrets: SecretGate = field(default_factory=SecretGate)

    def batch(self, parcel: ClaimedMessage) -> Batch | None:
        """A whole batch, from memory when it was packed a moment ago, else read again; None when its items were
        forgotten since."""
        if self.packed is not None and self.packed.id == parcel.batch_id:
            return self.packed
        found = self.store.batch(self.stream, parcel)
        return None if found is None else self.chosen(found)


class SinkDelivery:
    """Brings one outlet what is stored for it. `trouble` is why nothing more is sent in this run, empty at first."""

    def __init__(self, outlet: Outlet, context: DeliveryContext) -> None:
        self.outlet, self._context = outlet, context
        self.name, self.trouble = outlet.name, ""
        self.done = DeliveryCounts()
        self._misses = 0
        self.rest_until: datetime | None = None

    @property
    def whole(self) -> bool:
        """Whether the sink takes whole batches."""
        return not isinstance(self.outlet.sink, MessageSink)

    def count_skipped(self, skipped: Sequence[SkippedScore]) -> None:
        """Count what the sink has no place for."""
        self.done.skipped += len(skipped)
        self.done.reasons.update(each.reason for each in skipped)

    def is_ready(self) -> bool:
        """Whether it makes sense to send now: after a try of which nothing was taken there is a rest."""
        return not self.trouble and (self.rest_until is None or self.rest_until <= self._context.clock())

    def wait(self) -> float | None:
        """Seconds until there is something to do; None when there is nothing to wait for."""
        context, now = self._context, self._context.clock()
        return self.seconds_until(None if self.trouble else context.store.next_due(context.stream, self.name, now), now)

    def seconds_until(self, due: datetime | None, now: datetime) -> float | None:
        """Seconds until a row that is due then can be served; None for no row, and when nothing more is sent."""
        if due is None or self.trouble:
            return None
        return max(0.0, (max(due, self.rest_until or due) - now).total_seconds())

    async def serve(self) -> None:
        """Send what is due and look for what was sent, until nothing is due."""
        sink = self.outlet.sink
        while self.is_ready():
            if isinstance(sink, MessageSink):
                busy = await self._serve_messages(sink, "pending")
                busy = (self.is_ready() and await self._serve_messages(sink, "sent")) or busy
            else:
                busy = await self._serve_batch(sink)
            if not busy:
                return

    async def _serve_messages(self, sink: MessageSink, state: MessageState) -> bool:
        parcels = self._claim(state, MOST)
        if not parcels:
            return False
        messages = [each.message for each in parcels]
        found = await self._keep_claimed(parcels, sink.send(messages) if state == "pending" else sink.verify(messages))
        if isinstance(found, Exception):
            self._note_error(found)
            found = [Receipt(each.key, state, self._describe(found), lost_after=NOT_LOOKED) for each in messages]
        self._settle(parcels, _match_receipts(messages, found, state))
        if state == "pending":
            self._update_rest(found)
        return True

    async def _serve_batch(self, sink: Sink) -> bool:
        parcels = self._claim("pending", 1)
        if not parcels:
            return False
        batch = self._context.batch(parcels[0])
        found = None if batch is None else await self._keep_claimed(parcels, sink.publish(batch))
        key = parcels[0].message.key
        if isinstance(found, Exception):
            self._note_error(found)
            receipt = Receipt(key, "pending", self._describe(found))
        else:
            receipt = Receipt(key, "verified", "" if batch is not None else "its items were forgotten since")
        self._settle(parcels, [receipt])
        self._update_rest([receipt])
        return True

    def _claim(self, state: MessageState, most: int) -> list[ClaimedMessage]:
        context, now = self._context, self._context.clock()
        until = now + timedelta(seconds=context.lease)
        return context.store.claim(context.stream, self.name, state, MessageClaim(now, until, most))

    async def _keep_claimed(
        self, parcels: Sequence[ClaimedMessage], work: Coroutine[object, object, T]
    ) -> T | Exception:
        """Await what the sink does with claimed rows; their claim is renewed meanwhile, for a sink may take longer than
        a claim lasts, and nobody else may send the same while it does."""
        renewal = asyncio.ensure_future(self._renew(parcels))
        try:
            return await attempt_async(work)
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def _renew(self, parcels: Sequence[ClaimedMessage]) -> None:
        context = self._context
        while True:
            await asyncio.sleep(context.lease / 3)
            until = context.clock() + timedelta(seconds=context.lease)
            with suppress(StoreError):  # settling meets the error
                context.store.renew(context.stream, self.name, parcels, until)

    def _settle(self, parcels: Sequence[ClaimedMessage], receipts: Sequence[Receipt]) -> None:
        context, now = self._context, self._context.clock()
        made = [
            settle_message(parcel, receipt, now, context.patience, context.rng)
            for parcel, receipt in zip(parcels, receipts, strict=True)
        ]
        context.store.settle(context.stream, self.name, made, now)
        for each in made:
            self.done.verified += each.state == "verified"
            if each.state == "failed":
                self.done.failed += 1
                self.done.reasons[each.reason] += 1

    def _note_error(self, error: Exception) -> None:
        """An error of the whole sink: passing troubles are rested over, others end its work for this run."""
        if not isinstance(error, TransientError):
            self.trouble = self._describe(error)

    def _describe(self, error: Exception) -> str:
        return self._context.secrets.redact_message(str(error) or type(error).__name__)

    def _update_rest(self, receipts: Sequence[Receipt]) -> None:
        """Rest where nothing at all was taken: 1, 2, 4, ... seconds, or as long as the sink asks for."""
        if any(each.state != "pending" for each in receipts):
            self._misses, self.rest_until = 0, None
            return
        wait = max([min(2.0**self._misses, 60.0), *(each.wait or 0.0 for each in receipts)])
        self._misses += 1
        self.rest_until = self._context.clock() + timedelta(seconds=wait)


def pack_batch(outlet: Outlet, batch: Batch) -> PackedBatch | None:
    """What one sink gets: None for a whole batch. One that is best effort and cannot pack it skips it.

    Raises:
        FatalError: when a required sink cannot pack it.
    """
    sink = outlet.sink
    if not isinstance(sink, MessageSink):
        return None
    found = attempt(sink.pack, batch)
    if isinstance(found, Exception):
        why = f"it could not be packed: {type(found).__name__}: {found}"
        if outlet.required:
            kept = "what was scored is kept, and is published once the sink can pack it"
            raise FatalError(f"sink {outlet.name!r}: a batch of {len(batch.results)} items: {why}; {kept}") from found
        return PackedBatch(skipped=tuple(SkippedScore(result.item.id, "", why) for result in batch.results))
    return found


def _match_receipts(messages: Sequence[SinkMessage], found: Sequence[Receipt], state: MessageState) -> list[Receipt]:
    """A receipt for each message; one that the sink has forgotten stays as it is."""
    if [each.key for each in found] == [each.key for each in messages]:
        return list(found)
    by_key = {each.key: each for each in found}
    return [by_key.get(each.key, Receipt(each.key, state, "the sink gave no receipt")) for each in messages]
