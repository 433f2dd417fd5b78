"""The receiver of Langfuse's webhook as an ASGI application; `shared.langfuse.webhook:app` builds it at start-up.

It answers requests, so it imports nothing of monitors and starts quickly.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from shared.core.clock import utc_now
from shared.core.errors import StoreError
from shared.core.ports import Notification
from shared.core.state.webhook_deliveries import Deliveries, Delivery
from shared.database.engine.database import Database, open_database
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.langfuse.receiver.announcer import Announcer, AnnounceSettings, Channel, describe_change
from shared.langfuse.receiver.delivery_queue import DeliveryQueue
from shared.langfuse.receiver.notify_url import NotifyUrl
from shared.langfuse.receiver.webhook_receiver import CutOff, IncomingRequest, ReceiverSettings, WebhookReceiver
from shared.privacy.redact_logs import redacted_logs
from shared.privacy.secret_gate import SecretGate
from shared.privacy.secret_settings import secrets_of_config
from shared.slack.notify import SlackNotifier, SlackNotifierParams
from shared.telemetry.webhook_metrics import CONTENT_TYPE, WebhookMeters
from shared.wiring.serve.webhook_settings import WebhookSettings, open_file_limit, webhook_settings

_log = logging.getLogger(__name__)

_PROBE_SECONDS = 2.0

_SHARED_SECRET = (
    "LANGFUSE_WEBHOOK_NOTIFY_SECRET is not set: requests to the notify URL are signed with LANGFUSE_WEBHOOK_SECRET, so"
    " whoever verifies them could forge deliveries from Langfuse. Set a secret of its own."
)


def webhook_app(environ: Mapping[str, str] | None = None) -> FastAPI:
    """The application, configured by the environment or by a mapping of the same variables.

    Raises:
        ConfigError: without a secret, or for settings that are wrong; StoreError when the database cannot be opened.
    """
    settings = webhook_settings(environ)
    for vendor in ("httpx", "httpcore"):  # they log whole addresses, and the notify URL may hold a token
        logging.getLogger(vendor).setLevel(logging.WARNING)
    secrets = SecretGate(secrets_of_config(settings))
    service = WebhookService(settings, open_database(settings.state), secrets)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with redacted_logs(secrets):
            service.start()
            try:
                yield
            finally:
                await service.aclose()

    app = FastAPI(title="Trueline: prompts that changed", lifespan=lifespan, openapi_url=None)
    app.add_route("/webhooks/langfuse", service.langfuse, methods=["POST"])
    app.add_route("/healthz", service.health)
    app.add_route("/readyz", service.ready)
    app.add_route("/metrics", service.metrics)
    return app


class WebhookService:
    """The routes' handlers, for one event loop."""

    def __init__(self, settings: WebhookSettings, database: Database, secrets: SecretGate) -> None:
        self._database = database
        self._meters = WebhookMeters()
        self._deliveries: Deliveries = SqlDeliveries(database)
        self._listeners = _Listeners.from_settings(settings, secrets)
        self._announcer = Announcer(
            self._deliveries,
            self._listeners.channels,
            AnnounceSettings(lease=settings.lease, tries=settings.tries, keep=settings.keep),
            utc_now,
            self._meters.record_notification,
        )
        self._queue = DeliveryQueue(self._store)
        secret = settings.secret.get_secret_value().strip()
        bodies = min(256, open_file_limit() // 4)
        receiver_settings = ReceiverSettings(secret, settings.older_body, settings.max_bytes, max_bodies=bodies)
        self._receiver = WebhookReceiver(receiver_settings, self._queue, time.time)
        self._counting: asyncio.Task[Mapping[str, int] | None] | None = None

    def start(self) -> None:
        """Begin to send pending notifications."""
        self._announcer.start()

    async def aclose(self) -> None:
        """Close after the last request: store waiting deliveries, finish notifications in flight."""
        await self._queue.aclose()
        await self._announcer.aclose()
        await self._listeners.aclose()
        self._database.close()

    async def langfuse(self, request: Request) -> Response:
        """Receive a delivery."""
        self.start()  # a web server without lifespan support never calls `start`
        began = time.perf_counter()
        headers = request.headers
        incoming = IncomingRequest(headers.get("x-langfuse-signature"), headers.get("content-length"), _body(request))
        answer = await self._receiver.receive(incoming)
        if answer.outcome == "accepted":
            self._announcer.wake()
        self._meters.record_request(answer.outcome, time.perf_counter() - began, time.time())
        word = {"accepted": "success", "duplicate": "duplicate", "ignored": "ignored"}.get(answer.outcome, "error")
        closing = {"connection": "close"} if answer.close else None
        return JSONResponse({"status": word, "message": answer.message}, answer.status, closing)

    async def health(self, _: Request) -> Response:
        """Liveness: the process answers."""
        return PlainTextResponse("ok\n")

    async def ready(self, _: Request) -> Response:
        """Readiness: whether deliveries would be accepted. The database decides; a missing secret serves nothing."""
        up = await self._counts() is not None
        said = {"ready": up, "secret": "configured", "database": "reachable" if up else "not reachable"}
        return JSONResponse(said, 200 if up else 503)

    async def metrics(self, _: Request) -> Response:
        """Metrics for Prometheus."""
        return Response(self._meters.render(await self._counts()), media_type=CONTENT_TYPE)

    def _store(self, batch: Sequence[Delivery]) -> list[bool]:
        return self._deliveries.accept(batch, self._announcer.names, utc_now())

    async def _counts(self) -> Mapping[str, int] | None:
        """Deliveries by state; None when the database does not answer in time. Concurrent requests share one query."""
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(asyncio.to_thread(self._count_deliveries))
        try:
            return await asyncio.wait_for(asyncio.shield(self._counting), _PROBE_SECONDS)
        except TimeoutError:
            return None

    def _count_deliveries(self) -> Mapping[str, int] | None:
        try:
            return self._deliveries.counts()
        except StoreError as error:
            _log.warning("the database does not answer: %s", error)
            return None


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Who is notified besides the prompt caches, by the name that is stored in a delivery's row."""

    notify: NotifyUrl | None
    slack: SlackNotifier | None
    secrets: SecretGate

    @classmethod
    def from_settings(cls, settings: WebhookSettings, secrets: SecretGate) -> _Listeners:
        notify = slack = None
        if url := settings.notify_url.get_secret_value():
            secret = settings.notify_secret.get_secret_value()
            if not secret:
                _log.warning(_SHARED_SECRET)
                secret = settings.secret.get_secret_value().strip()
            notify = NotifyUrl(url, secret, time.time)
        if settings.slack_channel:
            slack = SlackNotifier(_slack_params(settings))
        return cls(notify, slack, secrets)

    @property
    def channels(self) -> dict[str, Channel]:
        found: dict[str, Channel] = {}
        if (notify := self.notify) is not None:
            found["notify"] = lambda delivery: notify(self._without_secrets(delivery))
        if (slack := self.slack) is not None:
            found["slack"] = lambda delivery: slack.notify(_notification(self._without_secrets(delivery)))
        return found

    def _without_secrets(self, delivery: Delivery) -> Delivery:
        hide = self.secrets
        return replace(delivery, prompt=hide.redact(delivery.prompt), body=hide.redact_output(delivery.body))

    async def aclose(self) -> None:
        for each in (self.notify, self.slack):
            if each is not None:
                await each.aclose()


def _slack_params(settings: WebhookSettings) -> SlackNotifierParams:
    token, channel = settings.slack_token, settings.slack_channel
    return SlackNotifierParams(token=token, channel=channel, base_url=settings.slack_api)


def _notification(delivery: Delivery) -> Notification:
    title, text = describe_change(delivery)
    return Notification(f"prompt-delivery:{delivery.id}", title, text=text)


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect as error:
        raise CutOff from error
