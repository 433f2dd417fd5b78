"""`PromptGenerations` in memory: for one process and for tests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from shared.core.state.prompt_generations import Sighting


class MemoryGenerations:
    """Counters for as long as the object lives. Managers that share one see each other's invalidations."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._states: dict[str, tuple[str, int]] = {}

    def current(self, names: Sequence[str]) -> dict[str, int]:
        with self._lock:
            return {name: self._counters[name] for name in names}

    def bump(self, name: str) -> int:
        with self._lock:
            self._counters[name] += 1
            return self._counters[name]

    def sight(self, name: str, state: str) -> Sighting:
        with self._lock:
            before, then = self._states.get(name, (None, 0))
            announced = before is None or self._counters[name] > then
            self._counters[name] += before != state
            self._states[name] = (state, self._counters[name])
            return Sighting(self._counters[name], before != state, announced)
