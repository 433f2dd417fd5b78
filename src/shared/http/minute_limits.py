"""Requests and tokens per minute, kept by one process or by several that share a file.

Requests: a bucket of `burst` requests that one more joins every `interval` seconds. Any window of a minute that is
open at one end then holds at most `burst + ceil(60 / interval) - 1` of them, so `interval = 60 / (rate - burst + 1)`
keeps the rate in *every* such window; it is made 2 % longer, because requests do not travel equally long. A slot is
taken at the moment of sending, never ahead: a loop that was held up must not send what it missed all at once.

Tokens: a request may go when those before it are paid off at 60 / rate seconds a token, which bounds any minute by
the rate and one request. What a request will use is estimated before and corrected after.
"""

from __future__ import annotations

import asyncio

from shared.core.event_loops import PerLoop
from shared.http.client_runtime import ClientRuntime
from shared.http.rate_limit_store import MemoryRateLimitStore, RateLimitStore, Values

WINDOW = 60.0
_SLACK = 1.02
_STALE = 10 * WINDOW


class MinuteLimits:
    """When the next request may be sent."""

    def __init__(
        self, requests: int | None, tokens: int | None, runtime: ClientRuntime, store: RateLimitStore | None = None
    ) -> None:
        self._burst = max(1, (requests or 0) // 10)
        self._interval = _SLACK * WINDOW / (requests - self._burst + 1) if requests else 0.0
        self._per_token = WINDOW / tokens if tokens else 0.0
        self._shared = store is not None
        self._store: RateLimitStore = MemoryRateLimitStore() if store is None else store
        self._runtime = runtime
        self._paused = False
        self._turns: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)

    async def acquire(self, tokens: int) -> None:
        """Return when a request of about so many tokens may be sent; it counts from then on."""
        if not (self._interval or self._per_token or self._paused or self._shared):
            return
        async with self._turns.get():  # first come, first served; the others need not look
            while (seconds := self._take(tokens)) > 0:
                await self._runtime.sleep(seconds)

    def correct(self, estimated: int, used: int) -> None:
        """Correct the estimate by the tokens that were used."""
        if self._per_token and used != estimated:
            with self._store.transaction() as values:
                values["tokens"] = values.get("tokens", 0.0) + (used - estimated) * self._per_token

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the server asked for it."""
        with self._store.transaction() as values:
            values["hold"] = max(values.get("hold", 0.0), self._runtime.clock() + seconds)
        self._paused = True

    def _take(self, tokens: int) -> float:
        with self._store.transaction() as values:
            now = self._runtime.clock()  # under the lock: a request counts from when it may go, not from when it asked
            hold, due, debt = (self._read_value(values, name, now) for name in ("hold", "requests", "tokens"))
            ready = due - (self._burst - 1) * self._interval
            seconds = max(hold, ready if self._interval else now, debt if self._per_token else now) - now
            if seconds > 0:
                return seconds
            if self._interval:
                values["requests"] = max(due, now) + self._interval
            if self._per_token:
                values["tokens"] = max(debt, now) + tokens * self._per_token
            values.pop("hold", None)
            self._paused = False
        return 0.0

    def _read_value(self, values: Values, name: str, now: float) -> float:
        value = values.get(name, now)
        return now if value > now + _STALE else value  # the file is older than the machine's last start
