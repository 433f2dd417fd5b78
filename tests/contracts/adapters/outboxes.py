"""What the tests of stores need of an outbox: finished items taken for a sink of whole batches, and confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.ports import Batch
from shared.core.results import RunReport, Stream
from shared.core.state.outbox import MessageClaim, MessageOutcome, OutboxStore, Outgoing
from tests.contracts.adapters.stores import NOW

SHELF = "shelf"


def claim(now: datetime = NOW, most: int = 1000, seconds: float = 60.0) -> MessageClaim:
    """A claim of a minute."""
    return MessageClaim(now, now + timedelta(seconds=seconds), most)


def packed(store: OutboxStore, run: RunReport, size: int) -> Batch | None:
    """Up to `size` finished items packed for the shelf; None when there are none."""
    found: list[Batch] = []

    def pack(batch: Batch) -> Sequence[Outgoing]:
        found.append(batch)
        return [Outgoing(SHELF, None)]

    store.pack(run, size, pack, NOW)
    return found[0] if found else None


def waiting_batches(store: OutboxStore, stream: Stream) -> list[Batch]:
    """The batches that wait for the shelf; they go on waiting."""
    parcels = store.claim(stream, SHELF, "pending", claim())
    store.release(stream)
    return [batch for each in parcels if (batch := store.batch(stream, each)) is not None]


def deliver(store: OutboxStore, stream: Stream, at: datetime = NOW) -> list[str]:
    """Confirm what waits for the shelf and publish the items that are then confirmed; their ids."""
    parcels = store.claim(stream, SHELF, "pending", claim(at))
    store.settle(stream, SHELF, [MessageOutcome(each, "verified", 1, at, at) for each in parcels], at)
    ids = store.find_confirmed(stream, [SHELF], 10_000)
    store.close(stream, ids, at)
    store.close(stream, ids, at + timedelta(days=1))
    return ids
