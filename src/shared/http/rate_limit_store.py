"""Where rate limits keep their few numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Values = dict[str, float]


class Shelf(Protocol):
    """Keeps numbers by name."""

    def opened(self) -> AbstractContextManager[Values]:
        """The numbers, for one at a time; changes are kept when the block ends."""


class MemoryShelf:
    """For one process: clients that share it keep to one organisation's limits together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Values = {}

    @contextmanager
    def opened(self) -> Iterator[Values]:
        """The numbers, under a lock."""
        with self._lock:
            yield self._values
