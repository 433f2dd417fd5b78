"""Slack's Web API by `slack_sdk`: one method to call, and errors that say what to do.

Its sync client is run in threads: the async one needs `aiohttp`, which `slack_sdk` does not declare.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, cast

from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.client import WebClient
from slack_sdk.web.slack_response import SlackResponse

from shared.core.best_effort import attempt
from shared.core.errors import BadAnswer, ConfigError, RateLimited, TransientError, Unavailable
from shared.slack.pace import Pace
from shared.slack.retry_handler import PASSING, RATE_LIMITED, SlackRetries, SlackRetryLimits, retry_after

API = "https://slack.com/api/"

Answer = Mapping[str, Any]
"""What Slack answered, with `ok`."""

_ADVICE = {
    "invalid_auth": "the token is wrong; copy the bot's token (xoxb-...) again",
    "not_authed": "no token was sent; set the bot's token (xoxb-...)",
    "account_inactive": "the token's bot was removed; install the app again",
    "token_revoked": "the token was revoked; install the app again",
    "token_expired": "the token has expired; install the app again",
    "channel_not_found": "no such channel for this bot; give the channel's id (C0123ABCD, at the end of the channel's"
    " details), and invite the bot where the channel is private",
    "not_in_channel": "the bot is not in the channel; invite it there (/invite @name)",
    "is_archived": "the channel is archived",
}


class SlackRefused(ConfigError):
    """Slack refuses a request as it is; `code` is the word that it gives as the reason, such as `not_in_channel`."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class SlackConnection:
    """A bot's token and how it is used; `base_url` is another address of the API (GovSlack, a proxy, a test)."""

    token: SecretStr
    base_url: str = API
    timeout: float = 30.0
    limits: SlackRetryLimits = field(default_factory=SlackRetryLimits)


class SlackClient:
    """Calls of Slack's Web API, blocking. `pace` is asked before each request."""

    def __init__(self, connection: SlackConnection, pace: Pace) -> None:
        self._pace = pace
        self.connection = connection
        self.calls = 0
        self._client = WebClient(
            token=connection.token.get_secret_value(),
            base_url=connection.base_url,
            timeout=cast(int, connection.timeout),
            retry_handlers=[SlackRetries(connection.limits, pace.slow_down)],
            logger=silent_logger(),
        )

    def read(self, method: str, **params: object) -> Answer:
        """Call a method that changes nothing.

        Raises:
            SlackRefused: when Slack refuses it, with what to do; RateLimited, Unavailable, BadAnswer when it fails.
        """
        given = {key: value for key, value in params.items() if value is not None}
        return cast(Answer, self._call(method, params=given).data)

    def identify(self) -> tuple[Answer, frozenset[str]]:
        """Whose token it is, and the scopes that it has; none where Slack does not tell them.

        Raises:
            As `read`.
        """
        found = self._call("auth.test")
        said = next((value for key, value in found.headers.items() if key.lower() == "x-oauth-scopes"), "")
        return cast(Answer, found.data), frozenset(each.strip() for each in said.split(",") if each.strip())

    def pages(self, method: str, **params: object) -> Iterator[Answer]:
        """The pages of a method that lists something; each is asked for when the one before was used."""
        cursor: str | None = None
        while True:
            page = self.read(method, cursor=cursor, **params)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def write(self, method: str, body: Mapping[str, object]) -> Answer:
        """Call a method that changes something. `Unavailable` and `BadAnswer` leave open whether it did.

        Raises:
            As `read`.
        """
        return cast(Answer, self._call(method, json=dict(body)).data)

    def _call(
        self, method: str, params: dict[str, object] | None = None, json: dict[str, object] | None = None
    ) -> SlackResponse:
        with self._pace.turn():
            self.calls += 1
            found = attempt(lambda name: self._client.api_call(name, params=params, json=json), method)
        if isinstance(found, Exception):
            raise translate(found, method) from found
        return found


def silent_logger() -> logging.Logger:
    """A logger that says nothing: `slack_sdk` logs requests as they are, the address of a webhook is a secret, and what
    failed is said by our errors.
    """
    logger = logging.Logger("slack_sdk")  # not to be found by name: nobody is to turn it on
    logger.disabled = True
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def translate(error: Exception, method: str) -> Exception:
    """What a failure of `slack_sdk` means; an error that is not its own, nor the network's, is returned as it is."""
    if isinstance(error, SlackApiError):
        return _translate_answer(error, method)
    if isinstance(error, OSError | HTTPException):
        reason = getattr(error, "reason", None)
        what = type(reason).__name__ if isinstance(reason, Exception) else type(error).__name__
        return Unavailable(f"Slack cannot be reached for {method}: {what}")
    if isinstance(error, ValueError | AttributeError | SlackClientError):
        return BadAnswer(f"Slack answered {method} with something else than JSON: {type(error).__name__}")
    return error


def _translate_answer(error: SlackApiError, method: str) -> TransientError | SlackRefused:
    response = error.response
    data = response.data if isinstance(response.data, dict) else {}
    status, why = int(response.status_code), str(data.get("error", ""))[:80]
    if status == 429 or why in RATE_LIMITED:
        wait = retry_after(response.headers)
        asked = "fewer requests" if wait is None else f"to wait {wait:g} s"
        return RateLimited(f"Slack asks for {method} {asked}", wait)
    if why in PASSING:
        return Unavailable(f"Slack answered {method} with {why}")
    if status >= 500:
        return Unavailable(f"Slack answered {method} with {status}")
    if status == 200 and (not why or " " in why):  # the sdk's own sentence about a body that it cannot read
        return BadAnswer(f"Slack answered {method} with something else than JSON")
    return SlackRefused(f"Slack refuses {method}: {_advise(why, data) or f'status {status}'}", why)


def _advise(why: str, data: Mapping[str, object]) -> str:
    if why == "missing_scope":
        has = data.get("provided") or "none"
        return (
            f"missing_scope: the token lacks {data.get('needed') or 'a scope'} (it has {has}); add it in the app under"
            " OAuth & Permissions and install the app again"
        )
    return f"{why}: {_ADVICE[why]}" if why in _ADVICE else why if " " not in why else ""
