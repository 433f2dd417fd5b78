"""Telling others of a prompt that changed, after Langfuse has had its answer.

What is to be told stands in the deliveries' own rows, so it is told also after a restart, and by whichever worker comes
first. A channel that fails is tried again, ever later, and given up in the end: at least once, not exactly once.
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
"""Tells one listener of a delivery; raises when it was not heard."""

ReportAttempt = Callable[[str, bool], None]
"""Is called with the channel's name and whether it has heard."""


@dataclass(frozen=True, slots=True)
class AnnounceSettings:
    """In seconds: `lease` of a delivery that is being told, the pause before the second try (`first`, doubled up to
    `longest`), `every` look for what other workers left, `keep` of what is done. `tries` of a delivery, `most` at once.
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
    """Tells the channels, on one event loop, until it is closed; and forgets deliveries that are long done."""

    def __init__(
        self,
        deliveries: Deliveries,
        channels: Mapping[str, Channel],
        settings: AnnounceSettings,
        clock: Clock,
        told: ReportAttempt,
    ) -> None:
        self._deliveries = deliveries
        self._channels = channels
        self._settings = settings
        self._clock = clock
        self._told = told
        self._news = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._pruned = float("-inf")

    @property
    def names(self) -> tuple[str, ...]:
        """The channels that new deliveries are to be told to."""
        return tuple(self._channels)

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """There is something to tell."""
        self._news.set()

    async def aclose(self, grace: float = 5.0) -> None:
        """Let what is being told end, for so many seconds; what is left then is told by the next who looks."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._closing:
            self._news.clear()
            with best_effort("telling of changed prompts"):
                if await self._tell_some() == self._settings.most:
                    continue
            with best_effort("forgetting old deliveries"):
                await self._prune()
            try:
                await asyncio.wait_for(self._news.wait(), self._settings.every)
            except TimeoutError:
                continue

    async def _tell_some(self) -> int:
        lease = timedelta(seconds=self._settings.lease)
        claimed = await asyncio.to_thread(self._deliveries.claim, self._clock(), lease, self._settings.most)
        await asyncio.gather(*(self._tell(each) for each in claimed))
        return len(claimed)

    async def _tell(self, claimed: Claimed) -> None:
        """Tell those channels that are still configured, at the same time, and note who has not heard."""
        wanted = [name for name in claimed.channels if name in self._channels]
        left = set(wanted)
        try:
            # shorter than the lease: nobody else begins while we are at it
            async with asyncio.timeout(self._settings.lease * 0.8):
                await asyncio.gather(*(self._try(name, claimed, left) for name in wanted))
        except TimeoutError:
            _log.warning("telling of prompt %r took too long", claimed.delivery.prompt)
        except asyncio.CancelledError:
            # our own end: a thread does it, whatever becomes of this task
            await asyncio.shield(asyncio.to_thread(self._settle, claimed, left, 0.0))
            raise
        await asyncio.to_thread(self._settle, claimed, left, self._pause(claimed.tries))

    async def _try(self, name: str, claimed: Claimed, left: set[str]) -> None:
        with best_effort(f"telling {name} of prompt {claimed.delivery.prompt!r} (try {claimed.tries})"):
            await self._channels[name](claimed.delivery)
            left.discard(name)
        self._told(name, name not in left)

    def _settle(self, claimed: Claimed, left: set[str], pause: float | None) -> None:
        again = None if pause is None else self._clock() + timedelta(seconds=pause)
        if left and again is None:
            _log.error("%s never heard of prompt %r: given up", ", ".join(sorted(left)), claimed.delivery.prompt)
        with best_effort("noting who was told"):
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
    """Title and text for people: what changed, never what the prompt says."""
    data = from_json(delivery.body)
    prompt = data.get("prompt") if isinstance(data, dict) else None
    labels = prompt.get("labels") if isinstance(prompt, dict) else None
    version = f"version {delivery.version} " if delivery.version else ""
    text = f"{version}was {delivery.action or 'changed'}"
    if isinstance(labels, list) and labels:
        text += f"; labels: {', '.join(str(label)[:40] for label in labels[:10])}"
    return f"Prompt {delivery.prompt}", text
