"""Receives a webhook delivery and decides the answer, whatever web server passes it on.

    no signature 401, a wrong or an old one 403, too large 413, too slow 408, signed but unreadable 400
    signed and stored, a duplicate, or an event that does not concern prompts 200
    the store fails 500, is too busy 503: Langfuse tries again

What the header alone can refuse is refused before the body is read.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from shared.core.errors import ConfigError, StoreError, Unavailable
from shared.core.state.webhook_deliveries import Delivery
from shared.http.verify_signature import Forged, Signature, check_body, check_header
from shared.langfuse.receiver.body_budget import BodyBudget
from shared.langfuse.receiver.delivery_queue import DeliveryQueue
from shared.langfuse.receiver.prompt_event import Unreadable, parse_prompt_event

_log = logging.getLogger(__name__)

_WARN_EVERY = 60.0
"""Seconds between two warnings about refused requests: nobody may fill the log from outside."""

DeliveryOutcome = Literal[
    "accepted", "duplicate", "ignored",
    "unsigned", "forged", "unreadable", "too_large", "too_slow", "cut_off", "failed", "busy",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """The answer to the sender. `close`: end the connection, for more of the body may come than anybody would read."""

    status: int
    outcome: DeliveryOutcome
    message: str
    close: bool = False


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request: two headers, None where they are missing, and the body, piece by piece."""

    signature: str | None
    length: str | None
    body: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """`older` bodies are read too; a body has at most `max_bytes` and takes at most `max_seconds` to arrive, and
    `max_bodies` of them arrive at the same time.
    """

    secret: str
    older: bool = False
    max_bytes: int = 1_048_576
    max_seconds: float = 10.0
    max_bodies: int = 256


class CutOff(Exception):
    """The sender disconnected before its body had arrived; raised by the iterator over the body."""


class WebhookReceiver:
    """The webhook of one project, on one event loop.

    Raises:
        ConfigError: without a secret.
    """

    def __init__(self, settings: ReceiverSettings, queue: DeliveryQueue, clock: Callable[[], float]) -> None:
        if not settings.secret:
            raise ConfigError("no webhook secret is set; without it anybody could send deliveries, so none is accepted")
        self._settings = settings
        self._queue = queue
        self._clock = clock
        self._budget = BodyBudget(32 * settings.max_bytes, settings.max_bodies)
        self._refused = 0
        self._warned = float("-inf")

    async def receive(self, incoming: IncomingRequest) -> WebhookAnswer:
        """Verify and store a delivery; return the answer. After a 200 the delivery is durable."""
        if incoming.signature is None:
            return self._log_refusal(WebhookAnswer(401, "unsigned", "the header x-langfuse-signature is missing"))
        if _content_length(incoming.length) > self._settings.max_bytes:
            return self._log_refusal(self._too_large())
        try:
            signature = check_header(incoming.signature, self._clock())
            body = await self._budget.read(incoming.body, self._settings.max_bytes, self._settings.max_seconds)
            if body is None:
                return self._log_refusal(self._too_large())
            check_body(self._settings.secret, signature, body)
            return await self._store_event(signature, body)
        except Forged as error:
            return self._log_refusal(WebhookAnswer(403, "forged", str(error)))
        except TimeoutError:
            return self._log_refusal(WebhookAnswer(408, "too_slow", "the body did not arrive in time", close=True))
        except CutOff:
            return WebhookAnswer(400, "cut_off", "the body is incomplete", close=True)

    async def _store_event(self, signature: Signature, body: bytes) -> WebhookAnswer:
        """Read and store a verified body."""
        try:
            event = parse_prompt_event(body, self._settings.older, signature.at)
        except Unreadable as error:
            _log.warning("a signed delivery is unreadable: %s", error)
            return WebhookAnswer(400, "unreadable", str(error))
        if event is None:
            return WebhookAnswer(200, "ignored", "the event does not concern prompts")
        delivery = Delivery(event.id, event.name, event.action, event.version, body.decode())
        try:
            new = await self._queue.put(delivery)
        except StoreError as error:
            _log.error("the delivery %r of prompt %r could not be stored: %s", event.id, event.name, error)
            return WebhookAnswer(500, "failed", "the delivery could not be stored; send it again")
        except Unavailable as error:
            _log.error("the delivery %r of prompt %r was refused: %s", event.id, event.name, error)
            return WebhookAnswer(503, "busy", "too busy to store the delivery; send it again")
        if not new:
            return WebhookAnswer(200, "duplicate", "already received")
        _log.info(
            "prompt %r, version %s, was %s; its cache entries are invalidated",
            event.name,
            event.version,
            event.action or "changed",
        )
        return WebhookAnswer(200, "accepted", f"Invalidated {event.name}")

    def _too_large(self) -> WebhookAnswer:
        return WebhookAnswer(413, "too_large", f"at most {self._settings.max_bytes} bytes are accepted", close=True)

    def _log_refusal(self, answer: WebhookAnswer) -> WebhookAnswer:
        """Log refusals, at most once a minute: the sender may be Langfuse with another secret."""
        self._refused += 1
        if (now := self._clock()) >= self._warned + _WARN_EVERY:
            _log.warning("refused %d requests, the last with %d: %s", self._refused, answer.status, answer.message)
            self._warned, self._refused = now, 0
        return answer


def _content_length(length: str | None) -> int:
    """The Content-Length; 0 where it is missing or unusable, for then the server counts."""
    return int(length) if length is not None and length.isdecimal() and len(length) < 20 else 0
