"""Notifications in a Slack channel, by a bot's token: one message for an alert, edited as it goes on.

    opened    a message
    updated   the message is edited, which notifies nobody
    worsened  the message is edited, and a reply in its thread says so
    reminded  the same
    resolved  the same
    noted     a message for itself

Where a message stands (channel and ts) is stored before anything else is done. A post whose outcome is not known,
because the connection was cut or the process killed, is looked for in the channel by its metadata before it is made
again; that needs the scope `channels:history` (`groups:history` for a private channel).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shared.core.clock import Clock, utc_now
from shared.core.digests import digest
from shared.core.errors import BadAnswer, Unavailable
from shared.core.ports import Notification
from shared.core.state.sent_messages import MemorySentMessages, SentMessage, SentMessages
from shared.slack.blocks import RenderedMessage, render
from shared.slack.client import API, SlackClient, SlackConnection, SlackRefused
from shared.slack.pace import Pace, SharedPaces
from shared.slack.retry_handler import SlackRetryLimits

_log = logging.getLogger(__name__)

EVENT = "trueline_notification"
"""The type of the metadata that our messages carry."""

_INTERVAL = 1.0
"""Seconds between two messages of a channel: Slack allows one a second."""

_GONE = frozenset(("message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"))
_PAGES = 10
_LOOK_BACK = timedelta(days=7)
_PACES = SharedPaces()


class SlackRequestParams(BaseModel):
    """How a notifier sends its requests to Slack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout: float = Field(default=10.0, gt=0, le=300, description="seconds for one request")
    tries: int = Field(default=3, ge=1, le=20, description="tries of one request")
    max_wait: float = Field(
        default=15.0, ge=0, le=600, description="longest Retry-After that is waited for, in seconds"
    )


class SlackNotifierParams(SlackRequestParams):
    """Parameters of the notifier `slack`."""

    token: SecretStr = Field(min_length=1, description="the bot's token (xoxb-...), better as ${SLACK_BOT_TOKEN}")
    channel: str = Field(min_length=1, description="the channel's id (C0123ABCD), at the end of the channel's details")
    base_url: str = Field(default=API, pattern="^https?://", description="another address of Slack's API")


@dataclass(frozen=True, slots=True)
class SlackRuntime:
    """Time, as arguments."""

    now: Clock = utc_now
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class SlackNotifier:
    """`Notifier` for a channel. Its requests go one after the other, in a thread."""

    Params = SlackNotifierParams

    def __init__(
        self,
        params: SlackNotifierParams,
        sent: SentMessages | None = None,
        runtime: SlackRuntime | None = None,
    ) -> None:
        runtime = runtime or SlackRuntime()
        self._params, self._runtime = params, runtime
        self._sent = MemorySentMessages() if sent is None else sent
        self._place = f"slack:{params.channel}"
        self._lock = threading.Lock()
        limits = SlackRetryLimits(params.tries, params.max_wait, runtime.sleep)
        key = f"{params.base_url} {params.channel}"
        self._pace = _PACES.get(key, lambda: Pace(_INTERVAL, runtime.clock, runtime.sleep))
        connection = SlackConnection(params.token, params.base_url, params.timeout, limits)
        self._client = SlackClient(connection, self._pace)

    def keeping(self, sent: SentMessages) -> SlackNotifier:
        """The same notifier, which stores there where its messages stand."""
        return SlackNotifier(self._params, sent, self._runtime)

    async def notify(self, notification: Notification) -> None:
        """Post the notification, or edit the message of the alert. Nothing in it calls a person or a channel, and no
        link is unfolded.

        Raises:
            RateLimited: when Slack asks to wait for too long; Unavailable, BadAnswer when it fails; SlackRefused (a
            ConfigError) when it refuses the token or the channel. Callers for whom it is best effort say so.
        """
        await asyncio.to_thread(self._deliver, notification)

    async def connect(self) -> str:
        """Describe the workspace and what the token may do; nothing is posted. For `trueline check --connect`.

        Raises:
            ConfigError: a wrong token, or one that may not post; TransientError when Slack does not answer.
        """
        who, scopes = await asyncio.to_thread(self._client.identify)
        if scopes and not scopes & {"chat:write", "chat:write.public"}:
            has = ", ".join(sorted(scopes))
            raise SlackRefused(
                f"the token lacks the scope chat:write (it has {has}); add it in the app under OAuth & Permissions and"
                " install the app again",
                "missing_scope",
            )
        may_look = not scopes or scopes & {"channels:history", "groups:history"}
        note = "" if may_look else "; without channels:history a message may be posted twice after a cut connection"
        return f"workspace {who.get('team')} as {who.get('user')}, channel {self._params.channel}{note}"

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _deliver(self, notification: Notification) -> None:
        with self._lock:
            head, *rest = render(notification)
            known = self._sent.begin(self._place, notification.id, self._runtime.now())
            stands = self._find_or_post(notification, head, known)
            self._continue(notification, stands.sent, rest)
            if stands.edited and notification.state in ("worsened", "reminded", "resolved"):
                self._reply(notification, stands.sent, head)

    def _find_or_post(self, notification: Notification, head: RenderedMessage, known: SentMessage | None) -> _Standing:
        """Where the notification's message stands, with what it says now."""
        sent = known
        if known is None and notification.state in ("updated", "worsened", "reminded", "resolved"):
            sent = SentMessage(self._runtime.now() - _LOOK_BACK)  # by a process that stored it elsewhere, if anywhere
        if sent is not None and not sent.ts:
            sent = self._look_for(notification.id, sent)
        if sent is not None and (notification.state == "noted" or self._edit(sent, head)):
            return _Standing(sent, edited=notification.state not in ("noted", "opened"))
        return _Standing(self._post(notification.id, head))

    def _look_for(self, key: str, begun: SentMessage, thread: str = "") -> SentMessage | None:
        """The message with this key in the channel or thread, stored if it is there."""
        method = "conversations.replies" if thread else "conversations.history"
        oldest = f"{(begun.begun_at - timedelta(minutes=1)).timestamp():.6f}"
        asked = {"channel": self._params.channel, "oldest": oldest, "include_all_metadata": True, "limit": 200}
        try:
            for number, page in enumerate(self._client.pages(method, **asked, **({"ts": thread} if thread else {}))):
                found = next((each for each in page.get("messages") or () if _key_of(each) == key), None)
                if found is not None:
                    return self._store(key, SentMessage(begun.begun_at, self._params.channel, str(found["ts"])))
                if number + 1 == _PAGES:
                    break
        except SlackRefused as refused:
            text = "a message may be posted twice: whether it is in the channel cannot be looked up: %s"
            _log.warning(text, refused)
        return None

    def _post(self, key: str, message: RenderedMessage, thread: str = "") -> SentMessage:
        """Post a message, once: after an unknown outcome it is looked for first."""
        body = self._body(message) | {
            "metadata": {"event_type": EVENT, "event_payload": {"id": key}},
            **({"thread_ts": thread} if thread else {}),
        }
        begun = SentMessage(self._runtime.now())
        for left in reversed(range(self._params.tries)):
            try:
                answer = self._client.write("chat.postMessage", body)
            except (Unavailable, BadAnswer):
                found = self._look_for(key, begun, thread)
                if found is not None:
                    return found
                if not left:
                    raise
                self._runtime.sleep(1.0)
                continue
            made = SentMessage(
                begun.begun_at, str(answer.get("channel", self._params.channel)), str(answer.get("ts", ""))
            )
            return self._store(key, made)
        raise AssertionError("at least one try")

    def _edit(self, sent: SentMessage, message: RenderedMessage) -> bool:
        """Edit the message; False when that is no longer possible."""
        try:
            self._client.write("chat.update", self._body(message) | {"channel": sent.channel, "ts": sent.ts})
        except SlackRefused as refused:
            if refused.code not in _GONE:
                raise
            return False
        return True

    def _continue(self, notification: Notification, sent: SentMessage, rest: list[RenderedMessage]) -> None:
        for number, message in enumerate(rest, 2):
            self._post_once(f"{notification.id}#{_digest_of(notification)}.{number}", message, sent.ts)

    def _reply(self, notification: Notification, sent: SentMessage, head: RenderedMessage) -> None:
        short = RenderedMessage(head.text, head.blocks[:1])
        self._post_once(f"{notification.id}#{_digest_of(notification)}", short, sent.ts)

    def _post_once(self, key: str, message: RenderedMessage, thread: str) -> None:
        known = self._sent.begin(self._place, key, self._runtime.now())
        if known is not None and not known.ts:
            known = self._look_for(key, known, thread)
        if known is None:
            self._post(key, message, thread)

    def _store(self, key: str, sent: SentMessage) -> SentMessage:
        self._sent.put(self._place, key, sent)
        return sent

    def _body(self, message: RenderedMessage) -> dict[str, object]:
        return {
            "channel": self._params.channel,
            "text": message.text,
            "blocks": message.blocks,
            "unfurl_links": False,
            "unfurl_media": False,
        }


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where the message stands, and whether it was there before."""

    sent: SentMessage
    edited: bool = False


def _key_of(message: Mapping[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("id", "")) if metadata.get("event_type") == EVENT else ""


def _digest_of(notification: Notification) -> str:
    """What tells two steps of one alert apart."""
    plain = replace(notification, at=None)
    return digest([repr(plain), None if notification.at is None else notification.at.isoformat()])[:16]
