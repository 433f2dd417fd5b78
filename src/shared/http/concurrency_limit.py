"""How many requests run side by side: one more after each round that goes well, half as many after a 429."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

_Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class ConcurrencyLimit:
    """A limit on concurrent requests, first come, first served. May be used from several event loops."""

    def __init__(self, maximum: int) -> None:
        self._max = maximum
        self._limit = float(maximum)
        self._running = 0
        self._round = 0
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """How many may run now."""
        return int(self._limit)

    async def acquire(self) -> int:
        """Wait for a place; the number of the round, which `decrease` asks for."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._waiting and self._running < self.limit:
                self._running += 1
                return self._round
            place: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()  # the place was granted in the moment of the cancellation
            raise
        return self._round

    def release(self) -> None:
        """Give the place back; the next one gets it."""
        with self._lock:
            self._running -= 1
            chosen = self._admit()
        for waiter in chosen:
            self._notify(waiter)

    def increase(self) -> None:
        """A request went well: one more place after a whole round of them."""
        if self._limit < self._max:
            with self._lock:
                self._limit = min(float(self._max), self._limit + 1 / self._limit)

    def decrease(self, round_number: int) -> None:
        """The server answered 429: half as many. Requests of the same round count once."""
        with self._lock:
            if round_number == self._round:
                self._round += 1
                self._limit = max(1.0, self._limit / 2)

    def _admit(self) -> list[_Waiter]:
        chosen = []
        while self._waiting and self._running < self.limit:
            loop, place = self._waiting.popleft()
            if not place.cancelled() and not loop.is_closed():
                self._running += 1
                chosen.append((loop, place))
        return chosen

    def _notify(self, waiter: _Waiter) -> None:
        loop, place = waiter
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._grant(place)
            return
        try:
            loop.call_soon_threadsafe(self._grant, place)
        except RuntimeError:  # its loop was closed a moment ago
            self.release()

    def _grant(self, place: asyncio.Future[None]) -> None:
        if place.done():
            self.release()
        else:
            place.set_result(None)
