"""Sends spans as OTLP over HTTP in JSON to Langfuse's endpoint.

Langfuse's SDK exports spans once and drops them when the answer is a 500; here each span has an outcome. A request
whose answer was lost is not repeated: a span that is ingested twice may be shown twice, so read it back first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import to_json

from shared.core.clock import as_utc
from shared.core.digests import to_plain
from shared.core.errors import TransientError, requested_wait
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import Refused
from shared.langfuse.api.langfuse_score import SendOutcome
from shared.langfuse.api.langfuse_transport import LangfuseTransport

MAX_REQUEST_BYTES = 4_000_000
"""Bytes of one request. The server takes 4.5 MB."""

TRACE_ID = re.compile(r"[0-9a-f]{32}")
"""Ids of traces that a span can be in."""

_PATH = "/api/public/otel/v1/traces"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Attribute = str | int | float | bool | Sequence[str]


@dataclass(frozen=True, slots=True)
class OtlpSpan:
    """One span. `trace_id` has 32 hexadecimal digits, `span_id` and `parent_id` 16."""

    trace_id: str
    span_id: str
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    parent_id: str | None = None

    def encode(self) -> bytes:
        """The span as OTLP's JSON has it."""
        body: dict[str, Any] = {
            **{"traceId": self.trace_id, "spanId": self.span_id, "name": self.name, "kind": 1},
            **{"startTimeUnixNano": _to_nanoseconds(self.start), "endTimeUnixNano": _to_nanoseconds(self.end)},
            "attributes": [{"key": name, "value": _to_any_value(value)} for name, value in self.attributes.items()],
            "status": {},
        }
        return to_json(body | ({"parentSpanId": self.parent_id} if self.parent_id else {}), inf_nan_mode="null")


def to_attribute(value: object) -> str | None:
    """A value as an attribute: strings as they are, None stays None, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return to_json(to_plain(value), inf_nan_mode="null").decode()


class Spans:
    """Sends spans for one client."""

    def __init__(self, transport: LangfuseTransport) -> None:
        self._transport = transport

    async def post(self, spans: Iterable[OtlpSpan]) -> list[SendOutcome]:
        """Send spans; return the outcome of each, in their order. `accepted` means queued: read it back.

        Raises:
            ConfigError, FatalError: when nothing can be sent at all (wrong keys, wrong host).
        """
        outcomes: list[SendOutcome] = []
        part: list[tuple[str, bytes]] = []
        size = 0
        for span in spans:
            body = span.encode()
            if part and size + len(body) > MAX_REQUEST_BYTES:
                outcomes += await self._post(part)
                part, size = [], 0
            part.append((span.span_id, body))
            size += len(body) + 1
        return outcomes + (await self._post(part) if part else [])

    async def _post(self, part: Sequence[tuple[str, bytes]]) -> list[SendOutcome]:
        body = b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"trueline"}}'
        body += b']},"scopeSpans":[{"scope":{"name":"trueline"},"spans":[' + b",".join(each for _, each in part)
        body += b"]}]}]}"
        call = Call("POST", _PATH, "tracing", body=body, once=True, ingests=True)
        try:
            data = (await self._transport.ask(call)).data
        except Refused as error:  # one malformed span makes the server refuse all of them
            if len(part) == 1:
                return [SendOutcome(part[0][0], "rejected", str(error))]
            half = len(part) // 2
            return [*await self._post(part[:half]), *await self._post(part[half:])]
        except TransientError as error:
            return [SendOutcome(name, "unknown", str(error), requested_wait(error)) for name, _ in part]
        refused = data.get("partialSuccess") if isinstance(data, dict) else None
        if refused and int(refused.get("rejectedSpans") or 0) >= len(part):
            return [SendOutcome(name, "rejected", str(refused.get("errorMessage"))) for name, _ in part]
        return [SendOutcome(name, "accepted") for name, _ in part]


def _to_nanoseconds(moment: datetime) -> str:
    return str((as_utc(moment) - _EPOCH) // _MICROSECOND * 1000)


def _to_any_value(value: Attribute) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value.encode("utf-8", "backslashreplace").decode()}
    return {"arrayValue": {"values": [_to_any_value(each) for each in value]}}
