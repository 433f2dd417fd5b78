"""A circuit breaker: after some failures in a row, or too long without an answer, a server is left alone for a while;
then one request tries it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from shared.core.errors import Unavailable


class Breaker:
    """Closed (all pass), open (none pass), half open (one passes and decides). It opens for `seconds`: after so many
    `failures` in a row, or when requests were only refused for `patience` seconds.
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float], patience: float = math.inf) -> None:
        self._most = failures
        self._seconds = seconds
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._since: float | None = None
        self._until: float | None = None
        self._trying = False
        self._last = ""

    @property
    def state(self) -> str:
        """`closed`, `open` or `half open`."""
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half open"

    def look(self) -> None:
        """Return when a request would pass, without passing.

        Raises:
            Unavailable: while the breaker is open, saying since when and why.
        """
        if self._until is not None and (self._trying or self._clock() < self._until):
            raise self._refusal()

    def enter(self) -> None:
        """Pass, as the one that tries when the breaker is half open.

        Raises:
            Unavailable: while the breaker is open, or another request is trying.
        """
        if self._until is None:
            return
        with self._lock:
            self.look()
            self._trying = self._until is not None

    def succeeded(self) -> None:
        """The server answered: close."""
        if self._since is not None or self._until is not None:
            with self._lock:
                self._failures, self._since, self._until, self._trying = 0, None, None, False

    def failed(self, why: str) -> None:
        """The server failed: open after too many in a row, or when the one that tried it failed."""
        with self._lock:
            self._failures += 1
            self._badly(why, self._failures >= self._most or self._trying)

    def limited(self, why: str) -> None:
        """The server is there and asks for fewer requests: no failure, but no answer either."""
        with self._lock:
            self._failures, self._until = 0, None
            self._badly(why, False)

    def given_up(self) -> None:
        """The request was cancelled and says nothing of the server."""
        with self._lock:
            self._trying = False

    def _badly(self, why: str, opens: bool) -> None:
        now = self._clock()
        self._since = now if self._since is None else self._since
        self._last = why
        if opens or now - self._since >= self._patience:
            self._until = now + self._seconds
        self._trying = False

    def _refusal(self) -> Unavailable:
        now = self._clock()
        left = max(0.0, (self._until or 0.0) - now)
        dry = f"no request was answered for {(now - (self._since or now)) / 60:.0f} min"
        why = f"{self._failures} requests in a row failed" if self._failures else dry
        return Unavailable(f"{why}, so none is sent for {left:.0f} s; the last one: {self._last}")
