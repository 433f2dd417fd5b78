"""uvicorn's reading of HTTP with what it lacks: a time limit for a request's headers, and a limit on connections that
wait for one. Beyond it the connection that has waited longest is closed, so that nobody keeps others out by holding
connections open, and the process never runs out of files.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import TimerHandle, Transport
from typing import ClassVar

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from shared.wiring.serve.webhook_settings import open_file_limit

_log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
"""How long the headers of a request may take to arrive, from the first byte or the start of the connection."""

_WARN_EVERY = 60.0


class GuardedHttpProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # one of two classes, by what is installed
    """One connection."""

    most: ClassVar[int] = min(1000, open_file_limit() // 2)
    header_seconds: ClassVar[float] = HEADER_SECONDS
    _waiting: ClassVar[dict[GuardedHttpProtocol, TimerHandle]] = {}  # the oldest first
    _closed: ClassVar[int] = 0
    _warned: ClassVar[float] = float("-inf")

    def connection_made(self, transport: Transport) -> None:
        """A new connection waits for its headers."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that is gone waits for nothing."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; more of its headers lengthen no limit."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        if self in self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._waiting[self] = loop.call_later(self.header_seconds, self._close, "its headers did not arrive in time")
        if len(self._waiting) > self.most:
            next(iter(self._waiting))._close("too many connections were waiting")

    def _stop_waiting(self) -> None:
        timer = self._waiting.pop(self, None)
        if timer is not None:
            timer.cancel()

    def _close(self, why: str) -> None:
        self._stop_waiting()
        self.transport.abort()
        kind = GuardedHttpProtocol
        kind._closed += 1
        if (now := time.monotonic()) >= kind._warned + _WARN_EVERY:
            _log.warning("closed %d connections without a request, the last because %s", kind._closed, why)
            kind._warned, kind._closed = now, 0
