"""How often requests go out: one after the other, at an interval that grows when Slack asks for fewer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

_LONGEST_INTERVAL = 60.0
"""One request a minute: what Slack allows the apps that it limits most."""


class Pace:
    """At most one request an `interval`, in seconds. Safe under threads: one holds the turn at a time."""

    def __init__(
        self,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._configured = self._interval = interval
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until the next request may be made, and hold the turn while it is."""
        with self._lock:
            if (wait := self._next - self._clock()) > 0:
                self._sleep(wait)
            try:
                yield
            finally:
                self._next = max(self._next, self._clock() + self._interval)
                self._interval = max(self._configured, self._interval * 0.95)

    def slow_down(self) -> None:
        """Slack has refused a request for coming too early: from now on they come at longer intervals."""
        self._interval = min(_LONGEST_INTERVAL, max(2.0 * self._interval, 0.5))


class SharedPaces:
    """Paces by key, for as long as anybody uses them: notifiers of one channel keep to its limit together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: WeakValueDictionary[str, Pace] = WeakValueDictionary()

    def get(self, key: str, make: Callable[[], Pace]) -> Pace:
        """The pace of the key; the first caller makes it."""
        with self._lock:
            return self._paces.setdefault(key, make())
