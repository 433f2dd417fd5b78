"""`ScoredItemsStore` and `AnchorStore` in memory: for tests, and for what need not outlive its process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from shared.core.human_labels import AnchorPass
from shared.core.results import Stream


class MemoryScoredItems:
    """Which items of a stream are done, for as long as the object lives. Safe for several threads."""

    def __init__(self) -> None:
        self._marked: dict[Stream, set[str]] = {}
        self._lock = threading.Lock()

    def unseen(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids not marked yet, in their order, each once."""
        with self._lock:
            marked = self._marked.get(stream, set())
            return [each for each in dict.fromkeys(item_ids) if each not in marked]

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Mark items as scored."""
        with self._lock:
            self._marked.setdefault(stream, set()).update(item_ids)

    def clear(self, stream: Stream | None = None) -> int:
        """Forget the marks of a stream, or of all; how many items were forgotten."""
        with self._lock:
            gone = list(self._marked) if stream is None else [stream]
            return sum(len(self._marked.pop(each, ())) for each in gone)

    def stats(self) -> dict[Stream, int]:
        """Distinct items marked, by stream."""
        with self._lock:
            return {stream: len(ids) for stream, ids in self._marked.items() if ids}


class NoScoredItems(MemoryScoredItems):
    """Remembers nothing: every item is new each time."""

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Keep nothing."""


class MemoryAnchors:
    """`AnchorStore` for as long as the process lives."""

    def __init__(self) -> None:
        self._passes: dict[tuple[object, ...], AnchorPass] = {}

    def add(self, judged: AnchorPass) -> None:
        """Keep a pass; the same pass a second time changes nothing."""
        self._passes.setdefault((judged.stream, judged.metric, judged.anchors, judged.judged_at), judged)

    def passes(self, stream: Stream, label: str | None = None) -> list[AnchorPass]:
        """All passes of a stream, or of one label in it, oldest first."""
        mine = [each for each in self._passes.values() if each.stream == stream]
        wanted = [each for each in mine if label in (None, each.metric.label)]
        return sorted(wanted, key=lambda each: (each.judged_at, each.metric.label))
