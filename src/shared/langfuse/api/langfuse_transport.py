"""Sending: Basic auth, limits, tries, and answers read with a limit on their size."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic_core import from_json
from tenacity import RetryCallState, retry_if_exception_type
from tenacity.asyncio import AsyncRetrying

from shared.core.errors import BadAnswer, RateLimited, Unavailable
from shared.core.event_loops import PerLoop
from shared.langfuse.api.connection import Bucket, LangfuseSettings, Runtime
from shared.langfuse.api.langfuse_errors import Again, Asked, TooBroad, Translator
from shared.langfuse.api.langfuse_rate_limits import Limiter

_FIRST = 0.25
_LONGEST = 20.0
_BUSY_TRIES = 8
_WHOLE = 5
"""An answer that comes byte by byte is given up after so many times the timeout."""

_AT_ONCE = {"x-langfuse-ingestion-version": "4"}  # without it spans become readable some ten minutes later

Params = Mapping[str, str | int | Sequence[str]]


def quoted(name: str) -> str:
    """A name as one part of a path: a slash in it stays inside."""
    return quote(name, safe="")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was a success; `data` is its JSON, None where there is none (204)."""

    status: int
    data: Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `once` must not be sent again where it may have taken effect already; `body` is JSON in bytes; what
    `ingests` brings spans.
    """

    method: str
    path: str
    bucket: Bucket | None = None
    params: Params | None = None
    body: bytes | None = None
    named: bool = False
    broad: bool = False
    once: bool = False
    ingests: bool = False

    @property
    def asked(self) -> Asked:
        """What a failure's message tells of it: the path without its parameters."""
        return Asked(self.method, self.path, self.named, self.broad)


class Transport:
    """The HTTP of one client."""

    def __init__(self, settings: LangfuseSettings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime
        self.words = Translator(settings)
        self._limiter = Limiter(settings, runtime)
        self._most = int(settings.max_response_mb * 1_000_000)
        self._clients: PerLoop[httpx.AsyncClient] = PerLoop(self._client)
        self._places: PerLoop[asyncio.Semaphore] = PerLoop(lambda: asyncio.Semaphore(settings.max_concurrent))

    async def ask(self, call: Call) -> Reply:
        """Send a request, as often as it takes, and read its answer.

        Raises:
            TransientError: RateLimited, Unavailable (TooBroad), BadAnswer; ItemError: NotFound, Refused, TooLarge;
            ConfigError (Unserved), FatalError.
        """

        async def once() -> Reply:
            try:
                return await self._once(call)
            except Again as failure:
                if call.once and failure.sent:
                    raise Unavailable(
                        f"{failure.error}; it may have taken effect, so it was not sent again"
                    ) from failure
                raise

        return await trying(once, self.settings, self.runtime)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop()
        if client is not None:
            await client.aclose()

    async def _once(self, call: Call) -> Reply:
        ticket = await self._limiter.wait(call.bucket)
        try:
            status, headers, body = await self._send(call)
        finally:
            self._limiter.answered(ticket)
        if 200 <= status < 300:
            return Reply(status, self._parsed(call, body) if body else None)
        error = self.words.refused(call.asked, status, headers, body, self.runtime.wall())
        if status == 429 and isinstance(error, Again) and call.bucket is not None:
            limit = headers.get("x-ratelimit-limit", "")
            self._limiter.learn(call.bucket, int(limit) if limit.isdecimal() else None, error.after)
            if (error.after or 0.0) <= self.settings.max_wait:
                error.after = 0.0  # the limiter makes the next try wait, and every other request with it
        raise error

    async def _send(self, call: Call) -> tuple[int, httpx.Headers, bytes]:
        headers = {} if call.body is None else {"content-type": "application/json"}
        if call.ingests:
            headers |= _AT_ONCE
        try:
            async with (
                self._places.get(),
                asyncio.timeout(_WHOLE * self.settings.timeout),
                self._clients.get().stream(
                    call.method, call.path, params=call.params, content=call.body, headers=headers
                ) as response,
            ):
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    size += len(part)
                    self._check(call, size)
                    parts.append(part)
                return response.status_code, response.headers, b"".join(parts)
        except (httpx.RequestError, httpx.InvalidURL, TimeoutError) as error:
            raise self.words.unreachable(call.asked, error) from error

    def _parsed(self, call: Call, body: bytes) -> Any:
        try:
            return from_json(body)
        except ValueError:
            raise self.words.unusable(call.asked, body) from None

    def _check(self, call: Call, size: int) -> None:
        if size > self._most:
            raise (TooBroad if call.broad else BadAnswer)(
                f"{self.settings.base_url}: the answer is larger than {self._most / 1e6:g} MB and was not read on;"
                " ask for fewer fields or a smaller page, or raise max_response_mb"
            )

    def _client(self) -> httpx.AsyncClient:
        settings = self.settings
        most = settings.max_concurrent
        return httpx.AsyncClient(
            base_url=settings.base_url,
            auth=httpx.BasicAuth(settings.public_key.get_secret_value(), settings.secret_key.get_secret_value()),
            headers={"user-agent": "trueline", "accept-encoding": "gzip"},
            timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
        )


async def trying(work: Callable[[], Awaitable[Reply]], settings: LangfuseSettings, runtime: Runtime) -> Reply:
    """Do the work until it succeeds, up to `tries` failures or eight answers of 429, waiting as the server asks, else
    ever longer with jitter.

    Raises:
        TransientError: what the last try failed with; any other error of the work at once.
    """
    failed = busy = 0

    def enough(state: RetryCallState) -> bool:
        nonlocal failed, busy
        failure = _failure(state)
        if isinstance(failure.error, RateLimited):
            busy += 1
        else:
            failed += 1
        return failed >= settings.tries or busy >= _BUSY_TRIES or (failure.after or 0.0) > settings.max_wait

    def wait(state: RetryCallState) -> float:
        asked = _failure(state).after
        longest: float = min(_LONGEST, _FIRST * 2.0 ** (state.attempt_number - 1))
        jitter = runtime.rng.uniform(0.5, 1.0)
        return longest * jitter if asked is None else asked + (_FIRST * jitter if asked else 0.0)

    again = AsyncRetrying(
        sleep=runtime.sleep, stop=enough, wait=wait, retry=retry_if_exception_type(Again), reraise=True
    )
    try:
        return await again(work)
    except Again as failure:
        raise failure.error from failure.__cause__


def _failure(state: RetryCallState) -> Again:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, Again)
    return failure
