"""Requests and tokens per minute, kept by one process or by several that share a file.

Requests: a bucket of `burst` requests that one more joins every `interval` seconds. Any window of a minute that is
open at one end then holds at most `burst + ceil(60 / interval) - 1` of them, so `interval = 60 / (rate - burst + 1)`
keeps the rate in *every* such window; it is made 2 % longer, because requests do not travel equally long. A slot is
taken at the moment of sending, never ahead: a loop that was held up must not send what it missed at once.

Tokens: a request may go when those before it are paid off at 60 / rate seconds a token, which bounds any minute by
the rate and one request. What a request will use is estimated before and corrected after.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from shared.core.errors import StoreError
from shared.core.event_loops import PerLoop
from shared.llm.openai.server_settings import Runtime

WINDOW = 60.0
_SLACK = 1.02
_STALE = 10 * WINDOW


class Shelf(Protocol):
    """Where the limits keep their few numbers."""

    def opened(self) -> AbstractContextManager[dict[str, float]]:
        """The numbers, for one at a time; changes are kept when the block ends."""


class MemoryShelf:
    """For one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}

    @contextmanager
    def opened(self) -> Iterator[dict[str, float]]:
        """The numbers, under a lock."""
        with self._lock:
            yield self._values


class FileShelf:
    """For several processes of one machine, whose monotonic clock they share. Losing the file only forgets a minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock")

    @contextmanager
    def opened(self) -> Iterator[dict[str, float]]:
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

    def _read(self) -> dict[str, float]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # none yet, or cut by a kill: both forget a minute at most
            return {}
        items = stored.items() if isinstance(stored, dict) else ()
        return {str(name): float(value) for name, value in items if isinstance(value, int | float)}


class Limits:
    """What must be waited for before a request is sent."""

    def __init__(self, requests: int | None, tokens: int | None, runtime: Runtime, shelf: Shelf | None = None) -> None:
        self._burst = max(1, (requests or 0) // 10)
        self._interval = _SLACK * WINDOW / (requests - self._burst + 1) if requests else 0.0
        self._per_token = WINDOW / tokens if tokens else 0.0
        self._shared = shelf is not None
        self._shelf: Shelf = MemoryShelf() if shelf is None else shelf
        self._runtime = runtime
        self._held = False
        self._turns: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)

    async def wait(self, tokens: int) -> None:
        """Return when a request of about so many tokens may be sent; it counts from then on."""
        if not (self._interval or self._per_token or self._held or self._shared):
            return
        async with self._turns.get():  # first come, first served; the others need not look
            while (seconds := self._take(tokens)) > 0:
                await self._runtime.sleep(seconds)

    def settle(self, estimated: int, used: int) -> None:
        """Correct the estimate by what was used."""
        if self._per_token and used != estimated:
            with self._shelf.opened() as values:
                values["tokens"] = values.get("tokens", 0.0) + (used - estimated) * self._per_token

    def hold(self, seconds: float) -> None:
        """Send nothing for so long: the server said so."""
        with self._shelf.opened() as values:
            values["hold"] = max(values.get("hold", 0.0), self._runtime.clock() + seconds)
        self._held = True

    def _take(self, tokens: int) -> float:
        now = self._runtime.clock()
        with self._shelf.opened() as values:
            hold, due, debt = (self._known(values, name, now) for name in ("hold", "requests", "tokens"))
            ready = due - (self._burst - 1) * self._interval
            seconds = max(hold, ready if self._interval else now, debt if self._per_token else now) - now
            if seconds > 0:
                return seconds
            if self._interval:
                values["requests"] = max(due, now) + self._interval
            if self._per_token:
                values["tokens"] = max(debt, now) + tokens * self._per_token
            values.pop("hold", None)
            self._held = False
        return 0.0

    def _known(self, values: dict[str, float], name: str, now: float) -> float:
        value = values.get(name, now)
        return now if value > now + _STALE else value  # the file is older than the machine's last start
