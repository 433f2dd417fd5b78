"""Trying again: what may pass, how often, and how long to wait before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.asyncio import AsyncRetrying

from shared.core.clock import as_utc
from shared.core.errors import TransientError
from shared.llm.openai.server_settings import Runtime

T = TypeVar("T")

AGAIN = frozenset({408, 409, 429, *range(500, 600)})
"""Statuses after which the same request may succeed."""

_FIRST = 0.5
_LONGEST = 20.0


class Again(Exception):
    """Inside this room only: `error` is what the caller will see if no further try helps."""

    def __init__(self, error: TransientError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


async def trying(work: Callable[[], Awaitable[T]], tries: int, max_wait: float, runtime: Runtime) -> T:
    """Do the work up to `tries` times, waiting in between as the server asks, else ever longer with jitter.

    A server that asks for more than `max_wait` seconds is not asked again: the caller learns it at once.

    Raises:
        TransientError: what the last try failed with; any other error of the work at once.
    """
    try:
        return await work()  # nearly always enough, and then the machinery of retries is not even made
    except Again as failure:
        failures = [failure]

    def wait(state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.after if isinstance(failure, Again) else None
        longest: float = min(_LONGEST, _FIRST * 2.0 ** (state.attempt_number - 1))
        jitter = runtime.rng.uniform(0.5, 1.0)
        return longest * jitter if asked is None else asked + _FIRST * jitter

    def worth_it(error: BaseException) -> bool:
        return isinstance(error, Again) and (error.after or 0.0) <= max_wait

    async def once() -> T:
        if failures:
            raise failures.pop()  # the first try, told to tenacity as such
        return await work()

    again = AsyncRetrying(
        sleep=runtime.sleep,
        stop=stop_after_attempt(tries),
        wait=wait,
        retry=retry_if_exception(worth_it),
        reraise=True,
    )
    try:
        result: T = await again(once)
    except Again as failure:
        raise failure.error from failure.__cause__
    return result


def retry_after(headers: Callable[[str], str | None], now: datetime) -> float | None:
    """Seconds that a server asks to wait (`Retry-After` in seconds or as a date, `retry-after-ms`), None if none."""
    exact = _seconds(headers("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    text = headers("retry-after")
    seconds = _seconds(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, (as_utc(parsedate_to_datetime(text)) - now).total_seconds())
    except ValueError:
        return None


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
