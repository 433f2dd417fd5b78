"""Requests to a Langfuse server: basic authentication, its rate limits, retries, and answers read as JSON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json, to_json

from shared.core.errors import Unavailable
from shared.core.event_loops import PerLoop
from shared.http.client_runtime import ClientRuntime
from shared.http.error_translation import TRANSPORT_ERRORS
from shared.http.retries import Retryable, RetryLimits, retry_call
from shared.http.transport import HttpReply, HttpRequest, HttpTransport
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import LangfuseErrorTranslator, basic_auth
from shared.langfuse.api.langfuse_rate_limits import LangfuseRateLimits

_RATE_LIMITED_ATTEMPTS = 8
_TOTAL_TIMEOUTS = 5
"""An answer that comes byte by byte is given up after so many times the timeout."""

_READABLE_SOON = {"x-langfuse-ingestion-version": "4"}  # without it spans become readable some ten minutes later


def quote_segment(name: str) -> str:
    """A name as one part of a path: a slash in it stays inside."""
    return quote(name, safe="")


@dataclass(frozen=True, slots=True)
class JsonReply:
    """An answer that was a success; `data` is its JSON, None where there is none (204)."""

    status: int
    data: Any


class LangfuseTransport:
    """The HTTP of one client."""

    def __init__(self, settings: LangfuseSettings, runtime: ClientRuntime) -> None:
        self.settings = settings
        self.runtime = runtime
        self._translator = LangfuseErrorTranslator(settings)
        self._rate_limits = LangfuseRateLimits(settings, runtime)
        self._total_timeout = _TOTAL_TIMEOUTS * settings.timeout
        headers = {"accept-encoding": "gzip", "authorization": f"Basic {basic_auth(settings)}"}
        self._transport = HttpTransport(settings, headers, self._total_timeout, runtime.clock)
        self._places: PerLoop[asyncio.Semaphore] = PerLoop(lambda: asyncio.Semaphore(settings.max_concurrent))

    async def ask(self, call: Call) -> JsonReply:
        """Send a request, with the attempts that the settings allow, and read its answer.

        Raises:
            TransientError: RateLimited, Unavailable (QueryTooBroad), BadAnswer; ItemError: NotFound, Refused,
            TooLarge; ConfigError (EndpointMissing), FatalError.
        """

        async def attempt() -> JsonReply:
            try:
                return await self._attempt(call)
            except Retryable as failure:
                if call.once and failure.sent:
                    raise Unavailable(
                        f"{failure.error}; it may have taken effect, so it was not sent again"
                    ) from failure
                raise

        own = self.settings
        limits = RetryLimits(own.tries, own.max_wait, 0.25, _RATE_LIMITED_ATTEMPTS)
        return await retry_call(attempt, limits, self.runtime)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _attempt(self, call: Call) -> JsonReply:
        permit = await self._rate_limits.acquire(call.bucket)
        try:
            reply = await self._send(call)
        finally:
            self._rate_limits.record_answer(permit)
        if 200 <= reply.status < 300:
            return JsonReply(reply.status, self._parse(call, reply.body) if reply.body else None)
        error = self._translator.refusal(reply, call, self.runtime.wall())
        if reply.status == 429 and isinstance(error, Retryable) and call.bucket is not None:
            limit = reply.headers.get("x-ratelimit-limit", "")
            self._rate_limits.learn(call.bucket, int(limit) if limit.isdecimal() else None, error.after)
            if (error.after or 0.0) <= self.settings.max_wait:
                error.after = 0.0  # the rate limits make the next attempt wait, and every other request with it
        raise error

    async def _send(self, call: Call) -> HttpReply:
        content = call.body
        if content is not None and not isinstance(content, bytes):
            content = to_json({name: value for name, value in content.items() if value is not None})
        headers = {} if content is None else {"content-type": "application/json"}
        request = HttpRequest(
            call.method,
            call.path,
            params=call.params,
            content=content,
            headers=headers | (_READABLE_SOON if call.ingests else {}),
        )
        try:
            async with self._places.get(), asyncio.timeout(self._total_timeout):
                return await self._transport.send(request)
        except TRANSPORT_ERRORS as error:
            raise self._translator.failed_request(error, call) from error

    def _parse(self, call: Call, body: bytes) -> Any:
        try:
            return from_json(body)
        except ValueError:
            raise self._translator.no_json(body, call) from None
