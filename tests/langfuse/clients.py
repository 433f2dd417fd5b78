"""Clients for tests: against a fake server, with time that only moves when somebody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from pydantic import SecretStr

from shared.http.client_runtime import ClientRuntime
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_score import LangfuseScore, score_id
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse
from tests.langfuse.fake_server.wire import START, MovableClock

T = TypeVar("T")


class SharedTime:
    """One time for client and fake server: each sleep of the client moves both. `slept` holds every sleep."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self.slept: list[float] = []

    def seconds(self) -> float:
        return 1000.0 + (self._clock() - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.advance(seconds)
        await asyncio.sleep(0)

    def runtime(self, seed: int = 0) -> ClientRuntime:
        return ClientRuntime(self.seconds, self._clock, self.sleep, Random(seed))


def settings(url: str, **given: Any) -> LangfuseSettings:
    """What a client of the fake server is given."""
    keys = {"public_key": SecretStr(PUBLIC_KEY), "secret_key": SecretStr(SECRET_KEY)}
    return LangfuseSettings(**{"base_url": url, **keys, **given})


def client_of(server: FakeLangfuse, **given: Any) -> LangfuseClient:
    """A client in the fake server's time."""
    return LangfuseClient(settings(server.url, **given), SharedTime(server.clock).runtime())


def run_with_client(server: FakeLangfuse, work: Callable[[LangfuseClient], Awaitable[T]], **given: Any) -> T:
    """What `work` returns of a client that is closed afterwards."""

    async def run() -> T:
        client = client_of(server, **given)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


async def collect(rows: AsyncIterator[T]) -> list[T]:
    """All that an iterator yields."""
    return [row async for row in rows]


def score(number: int, value: float | str = 1.0, at: datetime = START, **given: Any) -> LangfuseScore:
    """A score of a trace, with an id of its own."""
    made: dict[str, Any] = {"trace_id": f"t{number}", "timestamp": at - timedelta(hours=1)}
    return LangfuseScore(
        **{**made, "id": score_id("p", f"t{number}", "exact"), "name": "exact", "value": value, **given}
    )
