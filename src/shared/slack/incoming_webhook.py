"""Notifications by an incoming webhook of Slack. It tells no `ts`, so nothing can be edited: an alert has one message
when it opens and one when it ends.
"""

from __future__ import annotations

import asyncio
import threading
from typing import cast

from pydantic import Field, SecretStr
from slack_sdk.webhook.client import WebhookClient

from shared.core.best_effort import attempt
from shared.core.digests import digest
from shared.core.errors import BadAnswer, RateLimited, Unavailable
from shared.core.ports import Notification
from shared.core.state.sent_messages import MemorySentMessages, SentMessage, SentMessages
from shared.slack.blocks import RenderedMessage, render
from shared.slack.client import SlackRefused, silent_logger, translate
from shared.slack.notify import SlackRequestParams, SlackRuntime
from shared.slack.pace import Pace, SharedPaces
from shared.slack.retry_handler import SlackRetryLimits, WebhookRetries, retry_after

_PACES = SharedPaces()
_WHAT = "the incoming webhook"


class SlackWebhookParams(SlackRequestParams):
    """Parameters of the notifier `slack_webhook`."""

    url: SecretStr = Field(description="the webhook's address, a secret, better as ${SLACK_WEBHOOK_URL}")


class SlackWebhookNotifier:
    """`Notifier` for the channel of an incoming webhook."""

    Params = SlackWebhookParams

    def __init__(
        self,
        params: SlackWebhookParams,
        sent: SentMessages | None = None,
        runtime: SlackRuntime | None = None,
    ) -> None:
        runtime = runtime or SlackRuntime()
        self._params, self._runtime = params, runtime
        self._sent = MemorySentMessages() if sent is None else sent
        url = params.url.get_secret_value().strip()
        self._place = f"slack-webhook:{digest([url])[:16]}"
        self._lock = threading.Lock()
        self._pace = _PACES.get(self._place, lambda: Pace(1.0, runtime.clock, runtime.sleep))
        limits = SlackRetryLimits(params.tries, params.max_wait, runtime.sleep)
        self._client = WebhookClient(
            url,
            timeout=cast(int, params.timeout),
            retry_handlers=[WebhookRetries(limits, self._pace.slow_down)],
            logger=silent_logger(),
        )

    def keeping(self, sent: SentMessages) -> SlackWebhookNotifier:
        """The same notifier, which stores there what it has sent."""
        return SlackWebhookNotifier(self._params, sent, self._runtime)

    async def notify(self, notification: Notification) -> None:
        """Post the notification, once; how an open alert goes on is left out.

        Raises:
            As `SlackNotifier.notify`. After `Unavailable` the message may be there.
        """
        if notification.state not in ("updated", "worsened"):
            await asyncio.to_thread(self._deliver, notification)

    def _deliver(self, notification: Notification) -> None:
        key = notification.id
        if notification.state == "resolved":
            key += "#resolved"
        elif notification.state == "reminded":
            key += f"#{notification.at}"
        with self._lock:
            known = self._sent.begin(self._place, key, self._runtime.now())
            if known is not None and known.ts:
                return
            for message in render(notification):
                self._post(message)
            now = self._runtime.now()
            self._sent.put(self._place, key, SentMessage(now, self._place, f"{now.timestamp():.6f}"))

    def _post(self, message: RenderedMessage) -> None:
        body = {"text": message.text, "blocks": message.blocks, "unfurl_links": False, "unfurl_media": False}
        with self._pace.turn():
            answer = attempt(self._client.send_dict, body)
        if isinstance(answer, Exception):
            raise translate(answer, _WHAT) from None  # the error of urllib may hold the address
        if answer.status_code == 429:
            wait = retry_after(answer.headers)
            raise RateLimited(f"Slack asks {_WHAT} to wait", wait)
        if answer.status_code >= 500:
            raise Unavailable(f"Slack answered {_WHAT} with {answer.status_code}")
        if answer.status_code != 200:
            why = answer.body[:80] if answer.body.replace("_", "").isalnum() else ""
            raise SlackRefused(f"Slack refuses {_WHAT}: {why or answer.status_code}; make a new one in the app", why)
        if answer.body.strip() != "ok":
            raise BadAnswer(f"Slack answered {_WHAT} with something else than ok")
