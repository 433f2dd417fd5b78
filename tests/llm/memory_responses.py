"""`ResponseCache` in memory: a fake of the database's, kept to the same promises by `test_response_cache.py`."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence

from shared.core.counts import CacheStats
from shared.core.model_ports import answer_to_dict
from shared.core.results import LMResult


class MemoryResponses:
    """Answers by key, gone with the process. Holds up to `max_entries`, the oldest leave first."""

    def __init__(self, max_entries: int = 100_000) -> None:
        self._most = max_entries
        self._answers: dict[str, LMResult] = {}
        self._hits = self._misses = 0
        self._saved = 0.0
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> dict[str, LMResult]:
        """The answers that are there, by key."""
        wanted = dict.fromkeys(keys)
        with self._lock:
            found = {key: self._answers[key] for key in wanted if key in self._answers}
            self._hits += len(found)
            self._misses += len(wanted) - len(found)
            self._saved += sum(answer.cost or 0.0 for answer in found.values())
        return found

    def put(self, answers: Mapping[str, LMResult]) -> None:
        """Keep answers; a later answer to a key stands."""
        with self._lock:
            for key, answer in answers.items():
                self._answers.pop(key, None)
                self._answers[key] = answer
            while len(self._answers) > self._most:
                del self._answers[next(iter(self._answers))]

    def drop(self, keys: Sequence[str]) -> None:
        """Forget these answers."""
        with self._lock:
            for key in keys:
                self._answers.pop(key, None)

    def stats(self) -> CacheStats:
        """Hits and misses so far, and what is in it."""
        with self._lock:
            size = sum(
                len(json.dumps(answer_to_dict(answer), default=str)) + len(key) for key, answer in self._answers.items()
            )
            return CacheStats(self._hits, self._misses, len(self._answers), size, self._saved)
