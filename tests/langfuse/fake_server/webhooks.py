"""Prompt webhooks: signed, delivered with the real retries, switched off after five failures in a row."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from tests.langfuse.fake_server.wire import MovableClock, format_time

RETRIES = (0.0, 0.1, 0.2, 0.4)
"""Seconds before each attempt: at 0, 0.1, 0.3 and 0.7 after the first."""

_MOST_FAILURES = 5
SECRET = "lf-whsec_" + "5a" * 32


def sign_as_langfuse(secret: str, body: bytes, at: int) -> str:
    """The value of `x-langfuse-signature`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


@dataclass
class Delivery:
    """One event and the statuses of its attempts; 0 stands for no answer."""

    id: str
    action: str
    body: bytes
    headers: Mapping[str, str]
    statuses: list[int] = field(default_factory=list)

    @property
    def arrived(self) -> bool:
        return bool(self.statuses) and 200 <= self.statuses[-1] < 300


class Webhooks:
    """One trigger. `url` None sends nothing. Deliveries are made in the thread of the request that changed the prompt,
    so that a test sees them done; `send` may be replaced, and `sleep` makes the pauses.
    """

    def __init__(self, clock: MovableClock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock = clock
        self.sleep = sleep
        self._lock = threading.Lock()
        self._failed = 0
        self.url: str | None = None
        self.secret = SECRET
        self.active = True
        self.deliveries: list[Delivery] = []
        self.send: Callable[[str, bytes, Mapping[str, str]], int] = post

    def __call__(self, action: str, prompt: Mapping[str, Any]) -> None:
        """Tell the trigger's address of a change."""
        if self.url is None or not self.active:
            return
        delivery = self.sign(self.event(action, prompt), action)
        self.deliveries.append(delivery)
        self.deliver(delivery)

    def event(self, action: str, prompt: Mapping[str, Any]) -> dict[str, Any]:
        """The body as the server writes it: `prompt` comes last."""
        shown_as = {name: value for name, value in prompt.items() if name not in ("isActive", "resolutionGraph")}
        about = {"id": str(uuid.uuid4()), "timestamp": format_time(self._clock()), "type": "prompt-version"}
        return {**about, "apiVersion": "v1", "action": action, "prompt": shown_as}

    def sign(self, event: Mapping[str, Any], action: str) -> Delivery:
        """A delivery, signed now."""
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            **{"content-type": "application/json", "user-agent": "Langfuse/1.0", "accept": "*/*"},
            "x-langfuse-signature": sign_as_langfuse(self.secret, body, int(self._clock().timestamp())),
        }
        return Delivery(str(event["id"]), action, body, headers)

    def deliver(self, delivery: Delivery) -> None:
        """Four attempts within 0.7 s, the same bytes and signature each time; then never again."""
        for pause in RETRIES:
            self.sleep(pause)
            delivery.statuses.append(self.send(self.url or "", delivery.body, delivery.headers))
            if delivery.arrived:
                break
        with self._lock:
            self._failed = 0 if delivery.arrived else self._failed + 1
            if self._failed >= _MOST_FAILURES:
                self.active = False


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of one attempt, 0 when there was no answer within 10 s."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("POST", parts.path or "/", body, dict(headers))
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
