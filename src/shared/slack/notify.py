"""Messages to a Slack channel (`chat.postMessage`): one a second is allowed, and a 429 says how long to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

from shared.core.errors import BadAnswer, ConfigError, RateLimited, TransientError, Unavailable
from shared.core.ports import Notification

API = "https://slack.com/api/"

_LONGEST = 3000
"""Characters of a text; Slack cuts messages off at 40,000."""

_PASSING = frozenset((
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
    "team_added_to_org",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """A bot's token (with the right `chat:write`) and the id of the channel. `max_wait` is the longest Retry-After, in
    seconds, that is waited for; `base_url` another address of the API (GovSlack, a proxy, a test).
    """

    token: SecretStr
    channel: str
    base_url: str = API
    timeout: float = 10.0
    tries: int = 3
    max_wait: float = 15.0
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)


class _RetryLater(Exception):
    """Inside this file only: worth another try after so many seconds; `error` is what the caller sees otherwise."""

    def __init__(self, error: TransientError, after: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


class SlackNotifier:
    """`Notifier` for a channel, on one event loop. Messages go one after the other."""

    def __init__(self, settings: SlackSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._client = httpx.AsyncClient(timeout=settings.timeout)

    async def notify(self, notification: Notification) -> None:
        """Post one message. Nothing in it calls a person or a channel, and no link is unfolded.

        Raises:
            RateLimited: when Slack asks to wait for too long; Unavailable, BadAnswer when it fails; ConfigError when it
            refuses the token or the channel. Callers for whom it is best effort say so (`core/best_effort.py`).
        """
        said = f"*{escape_for_slack(notification.title)}*\n{escape_for_slack(notification.text)}"
        message = {"channel": self._settings.channel, "text": said, "unfurl_links": False, "unfurl_media": False}
        async with self._turn:
            for left in reversed(range(self._settings.tries)):
                try:
                    return await self._post(message)
                except _RetryLater as later:
                    if not left or later.after > self._settings.max_wait:
                        raise later.error from later.__cause__
                    await self._settings.sleep(later.after)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _post(self, message: dict[str, object]) -> None:
        url = f"{self._settings.base_url.rstrip('/')}/chat.postMessage"
        headers = {"authorization": f"Bearer {self._settings.token.get_secret_value().strip()}"}
        try:
            response = await self._client.post(url, json=message, headers=headers)
        except httpx.HTTPError as error:
            raise _RetryLater(Unavailable(f"Slack cannot be reached: {type(error).__name__}"), 1.0) from error
        if response.status_code == 429:
            after = _parse_retry_after(response.headers.get("retry-after"))
            raise _RetryLater(RateLimited(f"Slack asks to wait {after:g} s"), after)
        if response.status_code >= 500:
            raise _RetryLater(Unavailable(f"Slack answered {response.status_code}"), 1.0)
        self._look_at(response)

    def _look_at(self, response: httpx.Response) -> None:
        try:
            data = response.json()
        except ValueError as error:
            raise BadAnswer(f"Slack answered {response.status_code} with something else than JSON") from error
        if isinstance(data, dict) and data.get("ok") is True:
            return
        why = str(data.get("error", "") if isinstance(data, dict) else "")[:80] or f"status {response.status_code}"
        if why in _PASSING:
            raise _RetryLater(Unavailable(f"Slack says {why}"), 1.0)
        raise ConfigError(
            f"Slack refuses the message to channel {self._settings.channel!r}: {why}; check the token, its right"
            " chat:write, and that the bot is in the channel"
        )


def escape_for_slack(text: str) -> str:
    """Text in which Slack finds no mention, no channel and no link, of at most 3,000 characters before it is escaped.

    These three signs are Slack's whole syntax for such things (`<!channel>`, `<@U123>`, `<address|words>`).
    """
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _parse_retry_after(text: str | None) -> float:
    try:
        value = float(text or "1")
    except ValueError:
        return 1.0
    return value if 0.0 <= value < float("inf") else 1.0
