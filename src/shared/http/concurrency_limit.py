"""How many requests are under way: up by one for each round that goes well, halved when the server answers 429."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

_Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class Gate:
    """A bound on requests at once, first come, first served. May be used from several event loops."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._busy = 0
        self._round = 0
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return int(self._limit)

    async def enter(self) -> int:
        """Wait for room; the number of the round, to be given back to `slower`."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._waiting and self._busy < self.limit:
                self._busy += 1
                return self._round
            place: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # room was given in the moment of the cancellation
            raise
        return self._round

    def leave(self) -> None:
        """Give the room back; the next one enters."""
        with self._lock:
            self._busy -= 1
            chosen = self._admitted()
        for waiter in chosen:
            self._wake(waiter)

    def faster(self) -> None:
        """A request went well: one more at once after a whole round of them."""
        if self._limit < self._most:
            with self._lock:
                self._limit = min(float(self._most), self._limit + 1 / self._limit)

    def slower(self, entered: int) -> None:
        """The server answered 429: half as many. Requests of the same round count once."""
        with self._lock:
            if entered == self._round:
                self._round += 1
                self._limit = max(1.0, self._limit / 2)

    def _admitted(self) -> list[_Waiter]:
        chosen = []
        while self._waiting and self._busy < self.limit:
            loop, place = self._waiting.popleft()
            if not place.cancelled() and not loop.is_closed():
                self._busy += 1
                chosen.append((loop, place))
        return chosen

    def _wake(self, waiter: _Waiter) -> None:
        loop, place = waiter
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._give(place)
            return
        try:
            loop.call_soon_threadsafe(self._give, place)
        except RuntimeError:  # its loop was closed a moment ago
            self.leave()

    def _give(self, place: asyncio.Future[None]) -> None:
        if place.done():
            self.leave()
        else:
            place.set_result(None)
