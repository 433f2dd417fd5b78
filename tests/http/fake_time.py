"""Time and chance for tests: a clock that only moves when somebody sleeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from shared.http.client_runtime import ClientRuntime

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeTime:
    """`slept` holds every sleep, in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now - 1000.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def runtime(self, seed: int = 0) -> ClientRuntime:
        """What an adapter is given."""
        return ClientRuntime(self.clock, self.wall, self.sleep, Random(seed))
