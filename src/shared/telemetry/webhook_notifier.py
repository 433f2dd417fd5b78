"""Notifications to any address by HTTP: signed JSON, for people without Slack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shared.core.clock import as_utc, iso, utc_now
from shared.core.digests import digest
from shared.core.errors import ConfigError, RateLimited, TransientError, Unavailable
from shared.core.ports import Notification
from shared.http.client_runtime import ClientRuntime
from shared.http.retries import RETRIED_STATUSES, Retryable, RetryLimits, retry_after, retry_call
from shared.http.verify_signature import sign


class WebhookNotifierParams(BaseModel):
    """Parameters of the notifier `webhook`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = Field(description="the address, which may hold a token; it is never shown")
    secret: SecretStr = Field(min_length=16, description="signs the requests, better as ${NOTIFY_SECRET}")
    timeout: float = Field(default=10.0, gt=0, le=300, description="seconds for one request")
    tries: int = Field(default=3, ge=1, le=20, description="tries of one notification")
    max_wait: float = Field(
        default=15.0, ge=0, le=600, description="longest Retry-After that is waited for, in seconds"
    )


class WebhookNotifier:
    """POSTs each notification as JSON: `event` (`alert.opened`, `message`), and the fields of `Notification`.

    `x-trueline-signature` is `t=<Unix seconds>,v1=<hex>`, where the hex is HMAC-SHA256 with the secret over
    `<t>.<body>`. `x-trueline-delivery` is the same in every try of one notification: it may come twice. Any 2xx counts
    as received; redirects are not followed.
    """

    Params = WebhookNotifierParams

    def __init__(
        self,
        params: WebhookNotifierParams,
        runtime: ClientRuntime | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        address = urlsplit(params.url.get_secret_value().strip())
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError("url: expected an address that starts with https:// or http://")
        self._params, self._clock = params, clock
        self._runtime = runtime or ClientRuntime()
        self._host = address.hostname

    async def notify(self, notification: Notification) -> None:
        """Deliver it.

        Raises:
            ConfigError: when it is refused; RateLimited, Unavailable when it was not received.
        """
        body = json.dumps(_as_json(notification)).encode()
        limits = RetryLimits(self._params.tries, self._params.max_wait)
        async with httpx.AsyncClient(timeout=self._params.timeout, trust_env=True) as client:
            await retry_call(lambda: self._send(client, body), limits, self._runtime)

    async def _send(self, client: httpx.AsyncClient, body: bytes) -> None:
        headers = {
            "content-type": "application/json",
            "x-trueline-signature": sign(self._params.secret.get_secret_value(), body, int(self._clock())),
            "x-trueline-delivery": digest([body.decode()])[:32],
        }
        url = self._params.url.get_secret_value().strip()
        try:
            async with client.stream("POST", url, content=body, headers=headers) as response:
                status, asked = response.status_code, retry_after(response.headers.get, utc_now())
        except httpx.HTTPError as error:
            raise Retryable(Unavailable(f"{self._host}: {type(error).__name__}")) from None
        except httpx.InvalidURL:
            raise ConfigError(f"url: the address at {self._host} is no valid one") from None
        if 200 <= status < 300:
            return
        text = f"{self._host} answered {status} to a notification"
        if status in RETRIED_STATUSES:
            failed: TransientError = RateLimited(text, asked) if status == 429 else Unavailable(text)
            raise Retryable(failed, asked)
        raise ConfigError(f"{text}; expected 2xx. Check the url and the secret")


def _as_json(notification: Notification) -> dict[str, object]:
    values = asdict(notification)
    links = [{"name": name, "url": url} for name, url in notification.links]
    facts = [{"name": name, "value": value} for name, value in notification.facts]
    event = "message" if notification.state == "noted" else f"alert.{notification.state}"
    at = None if notification.at is None else iso(as_utc(notification.at))
    return {"event": event} | values | {"facts": facts, "links": links, "at": at}
