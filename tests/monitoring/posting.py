"""A small real sink of messages: a folder with a file for each key. It can be told to lose, refuse and be slow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.core.errors import FatalError, Unavailable
from shared.core.ports import Batch
from shared.core.state.outbox import PackedBatch, Receipt, SinkMessage, SkippedScore

Fault = Callable[[str], str]
"""What happens to a message by its key: "" it is taken, else `refused`, `lost_answer`, `lost`, `rejected`, `slow`."""


class Folder:
    """A message for each score, kept as `<folder>/<key>.json`. Items whose id begins with `x` have no place here.

    `fault` is asked at every send. `down` makes every call fail: for a while (`Unavailable`) or for good.
    """

    def __init__(self, folder: Path, name: str = "folder", fault: Fault = lambda key: "") -> None:
        self.name, self.folder, self.fault = name, folder, fault
        self.down: type[Exception] | None = None
        self.sent: list[str] = []
        self.slow: dict[str, int] = {}
        self.closed = False
        folder.mkdir(parents=True, exist_ok=True)

    def pack(self, batch: Batch) -> PackedBatch:
        rows = [(result.item.id, row) for result in batch.results for row in result.scores]
        kept = [(each, row) for each, row in rows if not each.startswith("x")]
        return PackedBatch(
            tuple(SinkMessage(f"{each}.{row.label}", each, {"value": row.value}, row.label) for each, row in kept),
            tuple(SkippedScore(each, row.label, "no trace") for each, row in rows if each.startswith("x")),
        )

    async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        self._answering()
        return [self._taken(each) for each in messages]

    def _taken(self, message: SinkMessage) -> Receipt:
        self.sent.append(message.key)
        fault = self.fault(message.key)
        if fault == "rejected":
            return Receipt(message.key, "failed", "value too long")
        if fault == "refused":
            return Receipt(message.key, "pending", "busy")
        if fault != "lost":
            (self.folder / f"{message.key}.json").write_text(json.dumps(message.body))
        if fault == "slow":
            self.slow[message.key] = 2
        return Receipt(
            message.key, "pending" if fault == "lost_answer" else "sent", "no answer" * (fault == "lost_answer")
        )

    async def verify(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        self._answering()
        return [self._seen(each) for each in messages]

    def _seen(self, message: SinkMessage) -> Receipt:
        if self.slow.get(message.key, 0):
            self.slow[message.key] -= 1
            return Receipt(message.key, "sent")
        there = (self.folder / f"{message.key}.json").exists()
        return Receipt(message.key, "verified" if there else "pending", "" if there else "it is not there")

    def _answering(self) -> None:
        if self.down is not None:
            raise self.down("the folder does not answer")

    async def aclose(self) -> None:
        self.closed = True

    def rows(self) -> dict[str, float]:
        return {path.stem: json.loads(path.read_text())["value"] for path in sorted(self.folder.iterdir())}


DOWN: tuple[type[Exception], ...] = (Unavailable, FatalError, OSError)
