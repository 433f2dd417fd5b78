"""Notifies other applications of a changed prompt, after Langfuse has had its answer.

Pending notifications are part of the deliveries' own rows, so they survive a restart and any worker may send them. A
channel that fails is retried with exponential backoff and given up in the end: at least once, not exactly once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pydantic_core import from_json

from shared.core.best_effort import best_effort
from shared.core.clock import Clock
from shared.core.state.webhook_deliveries import Claimed, Deliveries, Delivery

_log = logging.getLogger(__name__)

Channel = Callable[[Delivery], Awaitable[None]]
"""Sends one listener the delivery; raises when it was not received."""

ReportAttempt = Callable[[str, bool], None]
"""Is called with the channel's name and whether the notification was received."""


@dataclass(frozen=True, slots=True)
class AnnounceSettings:
    """In seconds: `lease` of a delivery that is being announced, the pause before the second try (`first`, doubled up
    to `longest`), `every` look for what other workers left, `keep` of what is done. `tries` of each delivery, `most`
    deliveries at the same time.
    """

    lease: float = 60.0
    tries: int = 10
    first: float = 1.0
    longest: float = 300.0
    every: float = 5.0
    keep: float = 86_400.0
    most: int = 8
    prune_every: float = 3600.0


class Announcer:
    """Notifies the channels, on one event loop, until it is closed; deletes deliveries that were done long ago."""

    def __init__(
        self,
        deliveries: Deliveries,
        channels: Mapping[str, Channel],
        settings: AnnounceSettings,
        clock: Clock,
        report: ReportAttempt,
    ) -> None:
        self._deliveries = deliveries
        self._channels = channels
        self._settings = settings
        self._clock = clock
        self._report = report
        self._wakeup = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._pruned = float("-inf")

    @property
    def names(self) -> tuple[str, ...]:
        """The channels that are notified of new deliveries."""
        return tuple(self._channels)

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """A new delivery is pending."""
        self._wakeup.set()

    async def aclose(self, grace: float = 5.0) -> None:
        """Wait `grace` seconds for notifications in flight; another worker sends the rest later."""
        self._closing = True
        self._wakeup.set()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._closing:
            self._wakeup.clear()
            with best_effort("notifying of changed prompts"):
                if await self._announce_some() == self._settings.most:
                    continue
            with best_effort("deleting old deliveries"):
                await self._prune()
            try:
                await asyncio.wait_for(self._wakeup.wait(), self._settings.every)
            except TimeoutError:
                continue

    async def _announce_some(self) -> int:
        lease = timedelta(seconds=self._settings.lease)
        claimed = await asyncio.to_thread(self._deliveries.claim, self._clock(), lease, self._settings.most)
        await asyncio.gather(*(self._announce(each) for each in claimed))
        return len(claimed)

    async def _announce(self, claimed: Claimed) -> None:
        """Notify the channels that are still configured, at the same time, and store which of them failed."""
        wanted = [name for name in claimed.channels if name in self._channels]
        left = set(wanted)
        try:
            # shorter than the lease: no other worker begins meanwhile
            async with asyncio.timeout(self._settings.lease * 0.8):
                await asyncio.gather(*(self._try(name, claimed, left) for name in wanted))
        except TimeoutError:
            _log.warning("notifying of prompt %r took too long", claimed.delivery.prompt)
        except asyncio.CancelledError:
            # we are being closed: a thread stores it, whatever happens to this task
            await asyncio.shield(asyncio.to_thread(self._settle, claimed, left, 0.0))
            raise
        await asyncio.to_thread(self._settle, claimed, left, self._pause(claimed.tries))

    async def _try(self, name: str, claimed: Claimed, left: set[str]) -> None:
        with best_effort(f"notifying {name} of prompt {claimed.delivery.prompt!r} (try {claimed.tries})"):
            await self._channels[name](claimed.delivery)
            left.discard(name)
        self._report(name, name not in left)

    def _settle(self, claimed: Claimed, left: set[str], pause: float | None) -> None:
        again = None if pause is None else self._clock() + timedelta(seconds=pause)
        if left and again is None:
            _log.error("gave up notifying %s of prompt %r", ", ".join(sorted(left)), claimed.delivery.prompt)
        with best_effort("storing which channels were notified"):
            self._deliveries.settle(claimed, sorted(left), again)

    def _pause(self, tries: int) -> float | None:
        if tries >= self._settings.tries:
            return None
        return min(self._settings.longest, self._settings.first * 2.0 ** (tries - 1))

    async def _prune(self) -> None:
        now = self._clock()
        if now.timestamp() >= self._pruned + self._settings.prune_every:
            self._pruned = now.timestamp()
            await asyncio.to_thread(self._deliveries.prune, now - timedelta(seconds=self._settings.keep))


def describe_change(delivery: Delivery) -> tuple[str, str]:
    """Title and text of a message: what changed, never the prompt's content."""
    data = from_json(delivery.body)
    prompt = data.get("prompt") if isinstance(data, dict) else None
    labels = prompt.get("labels") if isinstance(prompt, dict) else None
    version = f"version {delivery.version} " if delivery.version else ""
    text = f"{version}was {delivery.action or 'changed'}"
    if isinstance(labels, list) and labels:
        text += f"; labels: {', '.join(str(label)[:40] for label in labels[:10])}"
    return f"Prompt {delivery.prompt}", text
