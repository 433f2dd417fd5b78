"""Requests to one OpenAI-compatible server: its keys, limits, retries and errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from shared.http.circuit_breaker import CircuitBreaker
from shared.http.client_runtime import ClientRuntime
from shared.http.concurrency_limit import ConcurrencyLimit
from shared.http.error_translation import TRANSPORT_ERRORS
from shared.http.minute_limits import MinuteLimits
from shared.http.rate_limit_store import FileRateLimitStore
from shared.http.retries import RetryLimits, retry_call
from shared.http.traffic_control import TrafficControl
from shared.http.transport import FileUpload, HttpReply, HttpRequest, HttpTransport
from shared.llm.openai.openai_errors import OpenAIErrorTranslator
from shared.llm.openai.server_settings import ServerSettings

T = TypeVar("T")


class OpenAIConnection:
    """What all requests of one adapter share. Compression is not asked for, so what is read is as large as it looks."""

    def __init__(self, settings: ServerSettings, runtime: ClientRuntime) -> None:
        self._runtime = runtime
        self._transport = HttpTransport(settings, _headers(settings), settings.total_timeout, runtime.clock)
        secrets = [each for each in (settings.api_key, *settings.headers.values()) if each is not None]
        self.translator = OpenAIErrorTranslator(settings.base_url, [each.get_secret_value() for each in secrets])
        store = FileRateLimitStore(Path(settings.limits_file)) if settings.limits_file else None
        self._limits = MinuteLimits(settings.requests_per_minute, settings.tokens_per_minute, runtime, store)
        breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_seconds, runtime.clock, settings.patience)
        concurrency = ConcurrencyLimit(settings.max_concurrent)
        self._traffic = TrafficControl(concurrency, self._limits, breaker, settings.max_wait)
        self._retry_limits = RetryLimits(settings.tries, settings.max_wait)
        self.slot = self._traffic.slot
        self.correct_tokens = self._limits.correct

    async def retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a call returns, with the attempts that the settings allow.

        Raises:
            TransientError: the last attempt's; any other error of the call.
        """
        return await retry_call(call, self._retry_limits, self._runtime)

    async def ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, upload: FileUpload | None = None
    ) -> HttpReply:
        """Send a request, inside a slot, and read its answer whole.

        Raises:
            Retryable: for what may pass; ConfigError, ItemError, FatalError, BadAnswer, CallRefused.
        """
        async with self.open(method, path, body, upload) as response:
            return await self._transport.read(response)

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: Mapping[str, object] | None = None, upload: FileUpload | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A response with status 200 whose body is still to be read, inside the block, by `parts`.

        Raises:
            What `ask` raises.
        """
        try:
            async with self._transport.open(HttpRequest(method, path, json=body, upload=upload)) as response:
                if response.status_code != 200:
                    reply = await self._transport.read(response)
                    raise self.translator.refusal(reply, self._runtime.wall())
                yield response
        except TRANSPORT_ERRORS as error:
            raise self.translator.no_answer(error) from error

    def parts(self, response: httpx.Response, bounded: bool = True) -> AsyncGenerator[bytes]:
        """The body as it comes; a file's, which nobody keeps whole, is not `bounded` in size and time."""
        return self._transport.parts(response, bounded)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _headers(settings: ServerSettings) -> dict[str, str]:
    found = {"accept-encoding": "identity"}
    found |= {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.api_key is not None:
        found["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return found
