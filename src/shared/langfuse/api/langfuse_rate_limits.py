"""Rate limits of an organisation: fixed windows that begin with the first request in them, one for each bucket.

Langfuse refuses the N-th request of a budget of N, so N - 1 are sent. The server opens its window somewhere between
the sending of the first request and its answer; here the window is taken to end one length after that *answer*, which
is never too early. A limit that is not configured is learnt from the first 429, and forgotten after an hour, so that a
larger plan is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from shared.core.errors import RateLimited
from shared.http.client_runtime import ClientRuntime
from shared.http.rate_limit_store import FileRateLimitStore, RateLimitStore, Values
from shared.langfuse.api.connection import Bucket, LangfuseSettings

WINDOW = 60.0
_FORGOTTEN = 3600.0
_MARGIN = 0.05
_DRIFT = 120.0
_SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class RequestPermit:
    """Permission to send one request; `opened` is when its window began, if it is the first one in it."""

    bucket: Bucket | None
    opened: float | None = None


class LangfuseRateLimits:
    """All requests of one organisation on one server."""

    def __init__(self, settings: LangfuseSettings, runtime: ClientRuntime) -> None:
        self._known: Mapping[Bucket, int] = settings.limits
        file = settings.limits_file
        self._store: RateLimitStore = FileRateLimitStore(Path(file)) if file else runtime.rate_limits
        self._runtime = runtime
        self._max_wait = settings.max_wait
        self._longest_answer = settings.timeout
        owner = settings.organisation or settings.public_key.get_secret_value()
        self._account = sha256(f"{settings.base_url} {owner}".encode()).hexdigest()[:12]

    async def acquire(self, bucket: Bucket | None) -> RequestPermit:
        """Return when a request may be sent; it counts from then on.

        Raises:
            RateLimited: when that is longer away than `max_wait` seconds.
        """
        if bucket is None:
            return RequestPermit(None)
        while True:
            seconds, permit = self._take(bucket)
            if permit is not None:
                return permit
            if seconds > self._max_wait:
                raise RateLimited(
                    f"Langfuse's limit for {bucket} requests is used up for {seconds:.0f} s more", seconds
                )
            await self._runtime.sleep(max(_SHORTEST, seconds))  # never so short that no clock shows it

    def record_answer(self, permit: RequestPermit) -> None:
        """The answer is here: the server's window has begun by now."""
        if permit.opened is None or permit.bucket is None:
            return
        with self._values() as values:
            name = f"{self._account}.{permit.bucket}"
            if values.get(f"{name}.opened") == permit.opened:
                values[f"{name}.ends"] = self._runtime.clock() + WINDOW + _MARGIN

    def learn(self, bucket: Bucket | None, limit: int | None, after: float | None) -> None:
        """Take from a 429 the limit, and how long nothing may be sent."""
        if bucket is None:
            return
        now = self._runtime.clock()
        with self._values() as values:
            name = f"{self._account}.{bucket}"
            if limit:
                values |= {f"{name}.limit": float(limit), f"{name}.learnt": now}
            values[f"{name}.hold"] = max(values.get(f"{name}.hold", 0.0), now + (after or 1.0) + _MARGIN)
            values.pop(f"{name}.opened", None)  # the next request opens a window

    def _take(self, bucket: Bucket) -> tuple[float, RequestPermit | None]:
        now = self._runtime.clock()
        name = f"{self._account}.{bucket}"
        with self._values() as values:
            hold = values.get(f"{name}.hold", 0.0)
            if now < hold:
                return hold - now, None
            limit = self._limit(values, bucket, now)
            if limit is None:
                return 0.0, RequestPermit(bucket)
            ends = values.get(f"{name}.ends", 0.0)
            if f"{name}.opened" not in values or now >= ends:
                values |= {
                    f"{name}.opened": now,
                    f"{name}.used": 1.0,
                    f"{name}.ends": now + WINDOW + self._longest_answer,
                }
                return 0.0, RequestPermit(bucket, now)
            if values[f"{name}.used"] < max(1, limit - 1):
                values[f"{name}.used"] += 1
                return 0.0, RequestPermit(bucket)
            return ends - now, None

    @contextmanager
    def _values(self) -> Iterator[Values]:
        """The numbers, without those from before the machine's last start: its clock began anew with it."""
        with self._store.transaction() as values:
            started = self._runtime.wall().timestamp() - self._runtime.clock()
            if abs(values.get("started", started) - started) > _DRIFT:
                values.clear()
            values.setdefault("started", started)
            yield values

    def _limit(self, values: Values, bucket: Bucket, now: float) -> int | None:
        name = f"{self._account}.{bucket}"
        learnt = values.get(f"{name}.learnt")
        if learnt is not None and 0 <= now - learnt < _FORGOTTEN:
            return int(values[f"{name}.limit"])
        return self._known.get(bucket)
