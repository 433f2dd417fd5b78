"""The sink `opentelemetry`: scores as events, sent to a collector as log records (OTLP over HTTP, protobuf)."""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import ssl
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import httpx

from shared.core.clock import Clock, utc_now
from shared.core.errors import FatalError, Unavailable
from shared.core.ports import Batch
from shared.http.client_runtime import ClientRuntime
from shared.http.retries import Retryable, RetryLimits, retry_after, retry_call
from shared.telemetry.evaluation_events import EVENT, EvaluationEvent, evaluation_events
from shared.telemetry.otlp_params import OpenTelemetryParams

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PER_REQUEST = 1000
"""Events in one request: with explanations of some 500 characters about 1 MB; collectors take 20 MB by default."""

_RETRIED = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP allows to send again."""

_UNTIL_TIMEOUT = RetryLimits(math.inf, first_wait=0.25)
_INFO, _ERROR = 9, 17  # OpenTelemetry's numbers for severities
_SAMPLED = 1

_log = logging.getLogger(__name__)


class OpenTelemetrySink:
    """Sends each score and each failure of a batch as one event. A batch that comes twice is sent twice: OpenTelemetry
    has no key by which a collector could recognise it.
    """

    Params = OpenTelemetryParams

    def __init__(self, params: OpenTelemetryParams, environment: str = "", clock: Clock = utc_now) -> None:
        self.name = "opentelemetry"
        self._params = params
        self._resource = {"service.name": params.service_name}
        self._resource |= {"deployment.environment.name": environment} if environment else {}
        self._clock = clock

    async def publish(self, batch: Batch) -> None:
        """Send the batch's events within `timeout` seconds.

        Raises:
            Unavailable: when they are not all taken in that time; some may be.
            FatalError: when the collector will take none: a wrong address, a wrong key, or a record that it refuses.
        """
        events = evaluation_events(batch)
        try:
            async with asyncio.timeout(self._params.timeout), self._create_client() as client:
                while chunk := list(islice(events, PER_REQUEST)):
                    await retry_call(partial(self._send, client, self._encode(chunk)), _UNTIL_TIMEOUT, ClientRuntime())
        except TimeoutError:
            raise Unavailable(f"{self._params.url}: not all taken within {self._params.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._params.url}: {type(error).__name__}: {error}") from error

    def _create_client(self) -> httpx.AsyncClient:
        own = self._params
        headers = {"content-type": "application/x-protobuf"}
        headers |= {"content-encoding": "gzip"} if own.compression == "gzip" else {}
        headers |= {name: value.get_secret_value() for name, value in own.headers.items()}
        try:
            verify = True if own.certificate is None else ssl.create_default_context(cafile=own.certificate)
        except (OSError, ssl.SSLError) as error:
            raise FatalError(f"opentelemetry: certificate {own.certificate}: {error}") from error
        return httpx.AsyncClient(headers=headers, timeout=own.timeout, verify=verify)

    async def _send(self, client: httpx.AsyncClient, body: bytes) -> None:
        answer = await client.post(self._params.url, content=body)
        if answer.is_success:
            _log_rejected(answer.content)
            return
        where = f"{self._params.url}: refused with {answer.status_code}"
        if answer.status_code in _RETRIED:
            raise Retryable(Unavailable(where), retry_after(answer.headers.get, self._clock()))
        raise FatalError(f"{where}; check publishing.opentelemetry (endpoint and headers)")

    def _encode(self, events: Iterable[EvaluationEvent]) -> bytes:
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # late: an extra
        from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
        from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
        from opentelemetry.proto.resource.v1.resource_pb2 import Resource

        now = int(self._clock().timestamp() * 1e9)
        records = [
            LogRecord(
                time_unix_nano=now,
                observed_time_unix_nano=now,
                severity_number=_ERROR if event.failed else _INFO,  # type: ignore[arg-type]  # an enum's number
                event_name=EVENT,
                trace_id=event.trace_id,
                span_id=event.span_id,
                flags=_SAMPLED if event.trace_id else 0,
                attributes=_to_attributes(event.attributes),
            )
            for event in events
        ]
        scope = ScopeLogs(scope=InstrumentationScope(name="trueline"), log_records=records)
        logs = ResourceLogs(resource=Resource(attributes=_to_attributes(self._resource)), scope_logs=[scope])
        body: bytes = ExportLogsServiceRequest(resource_logs=[logs]).SerializeToString()
        return gzip.compress(body, 6) if self._params.compression == "gzip" else body


def _to_attributes(values: Mapping[str, str | float]) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    return [
        KeyValue(
            key=name,
            value=AnyValue(double_value=value)
            if isinstance(value, float)
            else AnyValue(string_value=_encodable(value)),
        )
        for name, value in values.items()
    ]


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _log_rejected(content: bytes) -> None:
    """A collector may accept a request without some of its records; sending them again would not help."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    try:
        partial = ExportLogsServiceResponse.FromString(content).partial_success
    except DecodeError:
        return  # some collectors answer with text or JSON; the status alone says that they took it
    if partial.rejected_log_records or partial.error_message:
        _log.warning(
            "opentelemetry: the collector rejected %d events: %s", partial.rejected_log_records, partial.error_message
        )
