"""When a request to Slack is repeated, as a retry handler of `slack_sdk`.

The handlers that come with it fall short: the one for lost connections also repeats `chat.postMessage`, so the channel
may hold two messages; `Retry-After: 1.5` raises a bare ValueError; a 200 that says `ratelimited`, a 502 and a page of
HTML are not repeated. Here reads are repeated after any of these. A post is repeated only where Slack has said that it
was not made; otherwise the caller looks into the channel first (`SlackNotifier`).
"""

from __future__ import annotations

import math
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from slack_sdk.http_retry.handler import RetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState

RATE_LIMITED = frozenset(("ratelimited", "rate_limited"))

PASSING = frozenset((
    "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
))  # fmt: skip
"""What Slack says in `error` when the same request may succeed later."""

ONCE = frozenset(("chat.postMessage",))
"""Methods that do something anew each time they are called."""


@dataclass(frozen=True, slots=True)
class SlackRetryLimits:
    """`tries` in all; `max_wait` is the longest Retry-After, in seconds, that is waited for."""

    tries: int = 3
    max_wait: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


class SlackRetries(RetryHandler):
    """The only retry handler of our clients. `slow_down` is called whenever Slack asks for fewer requests."""

    def __init__(self, limits: SlackRetryLimits, slow_down: Callable[[], None] = lambda: None) -> None:
        super().__init__(max_retry_count=limits.tries - 1)
        self._limits = limits
        self._slow_down = slow_down

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if response is not None and is_rate_limited(response.status_code, response.body):
            self._slow_down()
            return (retry_after(response.headers) or 0.0) <= self._limits.max_wait
        if response is None:
            return was_never_sent(error) or self._is_repeatable(request)
        failed = response.status_code >= 500 or not response.body or _error(response.body) in PASSING
        return failed and not 400 <= response.status_code < 500 and self._is_repeatable(request)

    def _is_repeatable(self, request: HttpRequest) -> bool:
        return request.url.rsplit("/", 1)[-1] not in ONCE

    def prepare_for_next_attempt(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        """Wait as long as Slack asks, else ever longer."""
        asked = None if response is None else retry_after(response.headers)
        backoff = min(20.0, 2.0**state.current_attempt) * random.uniform(0.5, 1.0)
        state.next_attempt_requested = True
        self._limits.sleep(backoff if asked is None else asked)
        state.increment_current_attempt()


class WebhookRetries(SlackRetries):
    """The same for incoming webhooks: each request is a post, and there is no channel to look into."""

    def _is_repeatable(self, request: HttpRequest) -> bool:
        return False


def was_never_sent(error: BaseException | None) -> bool:
    """Whether a request failed before Slack could have seen it: no address was found, or nobody listens there."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, ConnectionRefusedError | socket.gaierror)


def is_rate_limited(status: int, body: object) -> bool:
    """Whether Slack asks for fewer requests: by the status, or in an answer of 200."""
    return status == 429 or _error(body) in RATE_LIMITED


def retry_after(headers: Mapping[str, object]) -> float | None:
    """Seconds that Slack asks to wait, as a whole number, a decimal or a date; None where it says nothing useful."""
    found = next((value for key, value in headers.items() if key.lower() == "retry-after"), None)
    text = str(found[0] if isinstance(found, list) and found else found or "")
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text)
    return seconds if 0.0 <= seconds < math.inf else None


def _seconds_until(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _error(body: object) -> str:
    return str(body.get("error", "")) if isinstance(body, Mapping) else ""
