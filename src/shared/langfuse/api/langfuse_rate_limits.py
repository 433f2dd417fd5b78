"""Rate limits of an organisation: fixed windows that begin with the first request in them, one for each bucket.

Langfuse refuses the N-th request of a budget of N, so N - 1 are sent. The server opens its window somewhere between
the sending of the first request and its answer; here the window is taken to end one length after that *answer*, which
is never too early. A limit that nobody has told is learnt from the first 429, and forgotten after an hour, so that a
larger plan is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from shared.core.errors import RateLimited, StoreError
from shared.http.rate_limit_store import Shelf, Values
from shared.langfuse.api.connection import Bucket, LangfuseSettings, Runtime

WINDOW = 60.0
_FORGOTTEN = 3600.0
_MARGIN = 0.05
_DRIFT = 120.0
_SHORTEST = 0.001


class FileShelf:
    """For several processes of one machine, whose monotonic clock they share. Losing the file forgets one window."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock")

    @contextmanager
    def opened(self) -> Iterator[Values]:
        """The numbers, under the file's lock."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                values = self._read()
                before = dict(values)
                yield values
                if values != before:
                    self._path.write_text(json.dumps(values), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"limits_file {str(self._path)!r}: cannot be used ({error.strerror})") from error

    def _read(self) -> Values:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # none yet, or cut by a kill
            return {}
        items = stored.items() if isinstance(stored, dict) else ()
        return {str(name): float(value) for name, value in items if isinstance(value, int | float)}


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request; `opened` is when its window began, if it is the first one in it."""

    bucket: Bucket | None
    opened: float | None = None


class Limiter:
    """All requests of one organisation on one server."""

    def __init__(self, settings: LangfuseSettings, runtime: Runtime) -> None:
        self._known: Mapping[Bucket, int] = settings.limits
        self._shelf: Shelf = FileShelf(Path(settings.limits_file)) if settings.limits_file else runtime.shelf
        self._runtime = runtime
        self._max_wait = settings.max_wait
        self._answer = settings.timeout
        whose = settings.organisation or settings.public_key.get_secret_value()
        self._account = sha256(f"{settings.base_url} {whose}".encode()).hexdigest()[:12]

    async def wait(self, bucket: Bucket | None) -> Ticket:
        """Return when a request may be sent; it counts from then on.

        Raises:
            RateLimited: when that is longer away than `max_wait` seconds.
        """
        if bucket is None:
            return Ticket(None)
        while True:
            seconds, ticket = self._take(bucket)
            if ticket is not None:
                return ticket
            if seconds > self._max_wait:
                raise RateLimited(
                    f"Langfuse's limit for {bucket} requests is used up for {seconds:.0f} s more", seconds
                )
            await self._runtime.sleep(max(_SHORTEST, seconds))  # never so short that no clock shows it

    def answered(self, ticket: Ticket) -> None:
        """The answer is here: the server's window has begun by now."""
        if ticket.opened is None or ticket.bucket is None:
            return
        with self._opened() as values:
            name = f"{self._account}.{ticket.bucket}"
            if values.get(f"{name}.opened") == ticket.opened:
                values[f"{name}.ends"] = self._runtime.clock() + WINDOW + _MARGIN

    def learn(self, bucket: Bucket | None, limit: int | None, after: float | None) -> None:
        """What a 429 tells: the limit, and how long nothing may be sent."""
        if bucket is None:
            return
        now = self._runtime.clock()
        with self._opened() as values:
            name = f"{self._account}.{bucket}"
            if limit:
                values |= {f"{name}.limit": float(limit), f"{name}.learnt": now}
            values[f"{name}.hold"] = max(values.get(f"{name}.hold", 0.0), now + (after or 1.0) + _MARGIN)
            values.pop(f"{name}.opened", None)  # the next request opens a window

    def _take(self, bucket: Bucket) -> tuple[float, Ticket | None]:
        now = self._runtime.clock()
        name = f"{self._account}.{bucket}"
        with self._opened() as values:
            hold = values.get(f"{name}.hold", 0.0)
            if now < hold:
                return hold - now, None
            limit = self._limit(values, bucket, now)
            if limit is None:
                return 0.0, Ticket(bucket)
            ends = values.get(f"{name}.ends", 0.0)
            if f"{name}.opened" not in values or now >= ends:
                values |= {f"{name}.opened": now, f"{name}.used": 1.0, f"{name}.ends": now + WINDOW + self._answer}
                return 0.0, Ticket(bucket, now)
            if values[f"{name}.used"] < max(1, limit - 1):
                values[f"{name}.used"] += 1
                return 0.0, Ticket(bucket)
            return ends - now, None

    @contextmanager
    def _opened(self) -> Iterator[Values]:
        """The numbers, without those from before the machine's last start: its clock began anew with it."""
        with self._shelf.opened() as values:
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
