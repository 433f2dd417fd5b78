"""An outbox in memory, for tests of sinks alone: messages stay until they are verified or failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from shared.core.state.outbox import (
    ClaimedMessage,
    MessageSink,
    MessageState,
    PackedBatch,
    SinkMessage,
    SkippedScore,
)
from shared.monitoring.sink_delivery import DeliveryLimits, settle_message
from tests.langfuse.fake_server.wire import START, MovableClock

_LIMITS = DeliveryLimits(settle=0.0)


@dataclass
class Row:
    """A message and how far it has come."""

    message: SinkMessage
    due: datetime
    state: MessageState = "pending"
    reason: str = ""
    tries: int = 0
    attempts: int = 0
    sent_at: datetime | None = None


class MemoryOutbox:
    """Does what the durable outbox does with receipts. Where `fresh` is said, each time that nothing is due the process
    ends, and a new one comes ten minutes later.
    """

    def __init__(self, make: Callable[[], MessageSink], clock: MovableClock, size: int = 200) -> None:
        self._make, self._clock, self._size, self._rng = make, clock, size, Random(0)
        self.rows: dict[str, Row] = {}
        self.skipped: list[SkippedScore] = []

    def store(self, packed: PackedBatch) -> None:
        """A message that is there already stays as it is."""
        for message in packed.messages:
            self.rows.setdefault(message.key, Row(message, self._clock()))
        self.skipped += packed.skipped

    def states(self) -> dict[str, int]:
        found = [row.state for row in self.rows.values()]
        return {state: found.count(state) for state in set(found)}

    def drain(self, rounds: int = 2000, fresh: bool = False) -> None:
        """Send and verify until nothing waits any more."""
        asyncio.run(self._drain(rounds, fresh))

    async def _drain(self, rounds: int, fresh: bool) -> None:
        sink = self._make()
        try:
            for _ in range(rounds):
                waiting = [row for row in self.rows.values() if row.state in ("pending", "sent")]
                if not waiting:
                    break
                now = self._clock()
                due = [row for row in waiting if row.due <= now]
                if due:
                    await self._step(sink, [row for row in due if row.state == due[0].state][: self._size])
                elif fresh:  # the process is gone, and the next one comes ten minutes later
                    self._clock.advance(600)
                    await sink.aclose()
                    sink = self._make()
                else:
                    self._clock.advance(max(0.0, (min(row.due for row in waiting) - now).total_seconds()))
        finally:
            await sink.aclose()

    async def _step(self, sink: MessageSink, rows: list[Row]) -> None:
        sending = rows[0].state == "pending"
        work = sink.send if sending else sink.verify
        receipts = await work([row.message for row in rows])
        assert [receipt.key for receipt in receipts] == [row.message.key for row in rows]
        for row, receipt in zip(rows, receipts, strict=True):
            claimed = ClaimedMessage(row.message, row.state, "", "", row.attempts, START, row.sent_at)
            made = settle_message(claimed, receipt, self._clock(), _LIMITS, self._rng)
            row.state, row.reason, row.tries, row.attempts = made.state, made.reason, row.tries + 1, made.attempts
            row.due, row.sent_at = made.next_try_at, made.sent_at
