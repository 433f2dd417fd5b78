"""The dead man's ping: while monitors run, an address elsewhere is asked for, every minute by a scheduler, after each
run by a cron job. Whoever watches that address notices when it is asked for no longer, also when this machine is gone.

The address may hold a token, so messages name its host only.
"""

from __future__ import annotations

import asyncio
import logging
import re

import httpx

from shared.core.errors import ConfigError, Unavailable
from shared.monitoring.scheduling.job_loop import JobLoop

_log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two pings."""

_ADDRESS = re.compile(r"(?i)https?://([^/?#@\s]*@)?(?P<host>\[[0-9a-f:.]+\]|[\w.-]+)(:\d+)?([/?#]\S*)?")
_TRIES, _PAUSE, _TIMEOUT = 3, 2.0, 10.0


def host_of(url: str, option: str) -> str:
    """The host of a heartbeat's address.

    Raises:
        ConfigError: when it is none; the message does not show it.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise ConfigError(f"{option}: expected an address that begins with https:// or http://")
    return found["host"]


async def send_heartbeat(url: str, host: str, pause: float = _PAUSE) -> None:
    """Ask for an address on a host until it answers well, three times at most.

    Raises:
        Unavailable: when no try succeeded, with the reason of the last.
    """
    problem = ""
    async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
        for waits in range(_TRIES):
            await asyncio.sleep(waits * pause)
            problem = await _ping(client, url)
            if not problem:
                return
    raise Unavailable(f"the heartbeat could not be sent to {host}, in {_TRIES} tries: {problem}")


async def _ping(client: httpx.AsyncClient, url: str) -> str:
    """What went wrong, if anything."""
    try:
        async with client.stream("GET", url) as response:
            return "" if response.is_success else f"it answered {response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__


class HeartbeatPing:
    """Pings an address while no monitor is late."""

    def __init__(self, url: str, loop: JobLoop, every: float = EVERY) -> None:
        self._url, self._host = url, host_of(url, "--heartbeat-url")
        self._loop, self._every = loop, every
        self._failing = False

    async def run(self) -> None:
        """Ping until cancelled. A ping that fails is logged, the first of several in a row only."""
        async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
            while True:
                if not any(each.late for each in self._loop.states):
                    self._note(await _ping(client, self._url))
                await asyncio.sleep(self._every)

    def _note(self, problem: str) -> None:
        if problem and not self._failing:
            _log.warning("the heartbeat could not be sent to %s: %s; it is tried every minute", self._host, problem)
        self._failing = bool(problem)
