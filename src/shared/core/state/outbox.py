"""What is on its way to a sink, and how far it has come.

A message goes

    pending -> sent -> verified       taken by the sink, then read back there
    pending -> pending ...            not taken: tried again when `next_try_at` has come
    sent    -> pending                lost on the way: sent again
    pending | sent -> failed          the sink will never take it as it is, or it was tried for too long
    skipped                           the sink has no place for it; nothing is sent

Messages are stored before they are sent, and a key says what a message is: the same key sent again leaves one copy.
A sink that takes whole batches gets one row for a batch, which goes from pending to verified at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from shared.core.ports import Batch, Sink
from shared.core.results import RunReport, Stream

MessageState = Literal["pending", "sent", "verified", "failed"]

NOT_LOOKED = math.inf
"""`Receipt.lost_after` of a message that could not be looked for: a failed read says nothing about the message."""

READ_FAILED = "reading back failed: "
"""How the stored reason of a sent message begins when the last look for it failed."""


@dataclass(frozen=True, slots=True)
class SinkMessage:
    """One thing for a sink, such as a score. `key` is what the sink knows it by, `body` a JSON object that holds all
    that is sent, so that a later run sends exactly the same.
    """

    key: str
    item_id: str
    body: Mapping[str, Any]
    label: str = ""


@dataclass(frozen=True, slots=True)
class SkippedScore:
    """A score that a sink has no place for, such as one of an item without a trace; it holds up nothing."""

    item_id: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """A batch as messages. Packing the same batch again gives the same keys."""

    messages: tuple[SinkMessage, ...] = ()
    skipped: tuple[SkippedScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message. `wait`: seconds until it makes sense to send it again (`pending`) or to look for it
    (`sent`), None when the sink does not say. `lost_after`: a message that is still `sent` so many seconds after it was
    sent, also by an earlier process, counts as lost and is sent again.
    """

    key: str
    state: MessageState
    reason: str = ""
    wait: float | None = None
    lost_after: float = 3600.0


@runtime_checkable
class MessageSink(Protocol):
    """A sink whose deliveries are told apart and checked one by one. `name` names it in stored state."""

    name: str

    def pack(self, batch: Batch) -> PackedBatch:
        """The batch as messages. Pure: no network. Each message names the item that it is of, by the batch's id of it;
        the same item and key again is the same message.
        """

    async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Deliver some; one receipt each, in their order. An answer that was lost is `pending`: sent again, the same
        key leaves one copy. `verified` at once is allowed where taking it means that it is there.

        Raises:
            FatalError: when nothing can be sent at all (wrong keys, wrong host); the messages stay pending, and the
                run sends no more to this sink.
        """

    async def verify(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Read back some that were sent: `verified` when there as sent, `sent` when not to be seen yet (some sinks are
        slow), `pending` when lost and to be sent again, `failed` when they will never be there.
        """

    async def aclose(self) -> None:
        """Give back connections."""


@runtime_checkable
class RunSink(Protocol):
    """A sink of messages that is also told of a run as a whole, once it has scored."""

    def pack_run(self, run: RunReport) -> PackedBatch:
        """What is known of the run, such as its estimates, as messages of no item. Pure; the same run again gives the
        same keys.
        """


@runtime_checkable
class KnowsRuns(Protocol):
    """A sink that can tell which run of a stream it has heard of last."""

    async def newest_run(self, stream: Stream) -> str:
        """The id of that run; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """A sink of a monitor. An item is marked only when every required sink has confirmed what it got of it; one that
    is best effort holds up no item and fails no run.
    """

    sink: Sink | MessageSink
    required: bool = True
    given_name: str = ""

    @property
    def name(self) -> str:
        """The name of the sink in stored state: the one that the configuration gives it, else its own."""
        return self.given_name or self.sink.name


class Outgoing(NamedTuple):
    """What one sink gets of a batch; `packed` None: the batch as a whole."""

    sink: str
    packed: PackedBatch | None


@dataclass(frozen=True, slots=True)
class MessageClaim:
    """How many rows are taken at most, and until when they are the taker's: later they are anybody's."""

    now: datetime
    until: datetime
    most: int


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A row that was claimed. Of a whole batch the message has the batch's id as key and as item, and no label."""

    message: SinkMessage
    state: MessageState
    batch_id: str
    run_id: str
    attempts: int
    stored_at: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MessageOutcome:
    """What a claimed row becomes; it is free again with it."""

    parcel: ClaimedMessage
    state: MessageState
    attempts: int
    next_try_at: datetime
    sent_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenDeliveries:
    """How many rows of a sink are in a state that is not the end, or failed; the commonest reasons. `claimed` of them
    are with somebody now, and the first of the others is due at `next_due`: None where there is none, or where they
    have failed. `oldest` is when the first of them was stored.
    """

    sink: str
    state: MessageState
    count: int
    claimed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    next_due: datetime | None = None
    oldest: datetime | None = None


class OutboxStore(Protocol):
    """Finished items on their way to the sinks. Durable when a method returns, and safe for several at once, in one
    process or more: each store claims for itself.
    """

    def pack(self, run: RunReport, size: int, pack: Callable[[Batch], Sequence[Outgoing]], at: datetime) -> int:
        """Give up to `size` finished items to a new batch and store what `pack` makes of it, in one transaction; how
        many items. A message that is stored already stays as it is.
        """

    def add(self, run: RunReport, outgoing: Outgoing, at: datetime) -> None:
        """Store messages of no item; those that are stored already stay as they are."""

    def claim(self, stream: Stream, sink: str, state: MessageState, claim: MessageClaim) -> list[ClaimedMessage]:
        """Take rows of this state that are due and nobody's, those longest due first."""

    def renew(self, stream: Stream, sink: str, parcels: Sequence[ClaimedMessage], until: datetime) -> None:
        """Lengthen the claim of rows that were claimed here; rows that others took over since stay theirs."""

    def settle(self, stream: Stream, sink: str, settled: Sequence[MessageOutcome], at: datetime) -> None:
        """Store what became of rows claimed here, in one transaction; rows that others took over since stay."""

    def batch(self, stream: Stream, parcel: ClaimedMessage) -> Batch | None:
        """A whole batch, read again from what is stored; None when its items were forgotten since."""

    def find_confirmed(self, stream: Stream, sinks: Sequence[str] | None, size: int) -> list[str]:
        """Up to `size` packed items, not published yet, for which every row of these sinks is verified or skipped.
        None, for a monitor without any sink: finished items, packed or not.
        """

    def close(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> int:
        """These items are published; closing twice is harmless. How many of them were not yet."""

    def next_due(self, stream: Stream, sink: str, now: datetime) -> datetime | None:
        """When the sink's next row, which is nobody's, can be sent or looked for; None when there is none."""

    def count_unfinished(self, stream: Stream, now: datetime) -> list[OpenDeliveries]:
        """What is not verified or skipped, by sink and state."""

    def retry_now(self, stream: Stream, sink: str, failed: bool, now: datetime) -> int:
        """Make the sink's waiting rows due now, with `failed` failed ones too, as if they were new; how many."""

    def release(self, stream: Stream, own: bool = True) -> None:
        """Give back what processes that are known to have ended had claimed, and with `own` what was claimed here."""
