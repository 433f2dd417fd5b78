"""A circuit breaker: after some failures in a row, or too long without an answer, a server is left alone for a while;
then one request tries it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from shared.core.errors import Unavailable


class CircuitBreaker:
    """Closed (all pass), open (none pass), half open (one passes and decides). It opens for `seconds`: after so many
    `failures` in a row, or when requests were only refused for `longest_outage` seconds.
    """

    def __init__(
        self, failures: int, seconds: float, clock: Callable[[], float], longest_outage: float = math.inf
    ) -> None:
        self._max_failures = failures
        self._seconds = seconds
        self._longest_outage = longest_outage
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._since: float | None = None
        self._until: float | None = None
        self._probing = False
        self._last = ""

    @property
    def state(self) -> str:
        """`closed`, `open` or `half open`."""
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half open"

    def check(self) -> None:
        """Return when a request would be let through, without sending one.

        Raises:
            Unavailable: while the breaker is open, saying since when and why.
        """
        if self._until is not None and (self._probing or self._clock() < self._until):
            raise self._open_error()

    def enter(self) -> None:
        """Let one request through; when the breaker is half open, it is the one that decides.

        Raises:
            Unavailable: while the breaker is open, or another request decides.
        """
        if self._until is None:
            return
        with self._lock:
            self.check()
            self._probing = self._until is not None

    def record_success(self) -> None:
        """The server answered: close."""
        if self._since is not None or self._until is not None:
            with self._lock:
                self._failures, self._since, self._until, self._probing = 0, None, None, False

    def record_failure(self, why: str) -> None:
        """The server failed: open after too many in a row, or when the deciding request failed."""
        with self._lock:
            self._failures += 1
            self._record_refusal(why, self._failures >= self._max_failures or self._probing)

    def record_rate_limit(self, why: str) -> None:
        """The server is there and asks for fewer requests: no failure, but no answer either."""
        with self._lock:
            self._failures, self._until = 0, None
            self._record_refusal(why, False)

    def record_cancellation(self) -> None:
        """The request was cancelled and says nothing of the server."""
        with self._lock:
            self._probing = False

    def _record_refusal(self, why: str, opens: bool) -> None:
        now = self._clock()
        self._since = now if self._since is None else self._since
        self._last = why
        if opens or now - self._since >= self._longest_outage:
            self._until = now + self._seconds
        self._probing = False

    def _open_error(self) -> Unavailable:
        now = self._clock()
        left = max(0.0, (self._until or 0.0) - now)
        unanswered = f"no request was answered for {(now - (self._since or now)) / 60:.0f} min"
        why = f"{self._failures} requests in a row failed" if self._failures else unanswered
        return Unavailable(f"{why}, so none is sent for {left:.0f} s; the last one: {self._last}")
