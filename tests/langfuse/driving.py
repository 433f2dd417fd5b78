"""An outbox in memory, for tests of sinks alone: messages stay until they are verified or failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.core.state.outbox import MessageSink, MessageState, PackedBatch, SinkMessage, SkippedScore
from tests.langfuse.fake_server.wire import START, MovableClock

_LOST = timedelta(hours=1)


@dataclass
class Row:
    """A message and how far it has come."""

    message: SinkMessage
    due: datetime
    state: MessageState = "pending"
    reason: str = ""
    tries: int = 0
    sent_at: datetime = field(default=START)


class MemoryOutbox:
    """Does what the durable outbox does with receipts. Where `fresh` is said, each time that nothing is due the process
    ends, and a new one comes ten minutes later.
    """

    def __init__(self, make: Callable[[], MessageSink], clock: MovableClock, size: int = 200) -> None:
        self._make, self._clock, self._size = make, clock, size
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
            wait = receipt.wait if receipt.wait is not None else 1.0 if receipt.state in ("pending", "sent") else 0.0
            if sending and receipt.state == "sent":
                row.sent_at, wait = self._clock(), 0.0
            if receipt.state == "sent" and self._clock() - row.sent_at >= _LOST:
                receipt = replace(receipt, state="pending")
            row.state, row.reason, row.tries = receipt.state, receipt.reason, row.tries + 1
            row.due = self._clock() + timedelta(seconds=wait)
