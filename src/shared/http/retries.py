"""Retries: which failures, how often, and how long to wait before the next attempt."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, retry_if_exception_type
from tenacity.asyncio import AsyncRetrying

from shared.core.clock import as_utc
from shared.core.errors import RateLimited, TransientError
from shared.http.client_runtime import ClientRuntime

T = TypeVar("T")

RETRIED_STATUSES = frozenset({408, 409, 429, *range(500, 600)})
"""Statuses after which the same request may succeed."""

_LONGEST_BACKOFF = 20.0


class Retryable(Exception):
    """Never leaves an edge: `error` is what the caller sees when no further attempt helps. `after` is the wait that the
    server asks for; `sent` says whether the request may have taken effect.
    """

    def __init__(self, error: TransientError, after: float | None = None, sent: bool = True) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        self.sent = sent


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """`attempts` in all; the longest `max_wait` that a server may ask for; the first wait of the exponential back-off.
    With `rate_limited_attempts`, answers of 429 are counted apart from the other failures.
    """

    attempts: float
    max_wait: float = math.inf
    first_wait: float = 0.5
    rate_limited_attempts: int | None = None


async def retry_call(call: Callable[[], Awaitable[T]], limits: RetryLimits, runtime: ClientRuntime) -> T:
    """Make the call until it succeeds, waiting in between as the server asks, else ever longer with jitter.

    A server that asks for more than `max_wait` seconds is not asked again: the caller learns it immediately.

    Raises:
        TransientError: the last attempt's; any other error of the call, without a further attempt.
    """
    try:
        return await call()  # nearly always enough, and then nothing of tenacity is set up
    except Retryable as failure:
        earlier = [failure]
    failures = rate_limited = 0

    def is_last(state: RetryCallState) -> bool:
        nonlocal failures, rate_limited
        failure = _last_failure(state)
        if limits.rate_limited_attempts is not None and isinstance(failure.error, RateLimited):
            rate_limited += 1
        else:
            failures += 1
        exhausted = failures >= limits.attempts or rate_limited >= (limits.rate_limited_attempts or math.inf)
        return exhausted or (failure.after or 0.0) > limits.max_wait

    def wait(state: RetryCallState) -> float:
        after = _last_failure(state).after
        backoff = min(_LONGEST_BACKOFF, limits.first_wait * 2.0 ** (state.attempt_number - 1))
        jitter = runtime.rng.uniform(0.5, 1.0)
        return backoff * jitter if after is None else after + limits.first_wait * jitter

    async def attempt() -> T:
        if earlier:
            raise earlier.pop()  # tenacity counts the first attempt too
        return await call()

    retrying = AsyncRetrying(
        sleep=runtime.sleep, stop=is_last, wait=wait, retry=retry_if_exception_type(Retryable), reraise=True
    )
    try:
        return await retrying(attempt)
    except Retryable as failure:
        raise failure.error from failure.__cause__


def _last_failure(state: RetryCallState) -> Retryable:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, Retryable)
    return failure


def retry_after(header: Callable[[str], str | None], now: datetime) -> float | None:
    """Seconds that a server asks to wait (`Retry-After` in seconds or as a date, `retry-after-ms`), None if none."""
    exact = _parse_seconds(header("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    text = header("retry-after")
    seconds = _parse_seconds(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, (as_utc(parsedate_to_datetime(text)) - now).total_seconds())
    except (ValueError, OverflowError):  # no date, or none that a calendar has
        return None


def _parse_seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
