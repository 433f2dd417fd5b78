"""The dead man's ping of a scheduler: while all its monitors run, an address elsewhere is asked for every minute, and
whoever watches that address notices when it is asked for no longer, also when this machine is gone.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import httpx

from shared.core.errors import ConfigError
from shared.monitoring.scheduling.job_loop import JobLoop

_log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two pings."""


class HeartbeatPing:
    """Pings an address while no monitor is late. The address may hold a token, so messages name its host only."""

    def __init__(self, url: str, loop: JobLoop, every: float = EVERY) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("--heartbeat-url: expected an address that begins with https:// or http://")
        self._url, self._host = url, parts.hostname
        self._loop, self._every = loop, every
        self._failing = False

    async def run(self) -> None:
        """Ping until cancelled. A ping that fails is logged, the first of several in a row only."""
        async with httpx.AsyncClient(timeout=10.0) as client:
            while True:
                if not any(each.late for each in self._loop.states):
                    self._note(await self._ping(client))
                await asyncio.sleep(self._every)

    async def _ping(self, client: httpx.AsyncClient) -> str:
        """What went wrong, if anything."""
        try:
            async with client.stream("GET", self._url) as response:
                return "" if response.is_success else f"it answered {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__

    def _note(self, problem: str) -> None:
        if problem and not self._failing:
            _log.warning("the heartbeat could not be sent to %s: %s; it is tried every minute", self._host, problem)
        self._failing = bool(problem)
