"""Spans as the SDK sends them (OTLP, protobuf or JSON, gzip or not), turned into observations."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.langfuse.fake_server.observations import FakeObservations
from tests.langfuse.fake_server.protobuf import spans
from tests.langfuse.fake_server.wire import MovableClock, Reply, Request, format_time, refusal

_EXPERIMENT = "langfuse.experiment."
_PLAIN = {
    "langfuse.observation.input": "input",
    "langfuse.observation.output": "output",
    "langfuse.observation.level": "level",
    "langfuse.observation.status_message": "statusMessage",
    "langfuse.observation.model.name": "model",
    "langfuse.environment": "environment",
    "langfuse.version": "version",
    "langfuse.release": "release",
    "langfuse.trace.name": "traceName",
    "langfuse.trace.tags": "tags",
    "langfuse.observation.prompt.name": "promptName",
    "langfuse.observation.prompt.version": "promptVersion",
    "user.id": "userId",
    "session.id": "sessionId",
}
Span = dict[str, Any]


class FakeOtlpEndpoint:
    """POST /api/public/otel/v1/traces. 200 means queued; a malformed id rejects the whole batch. A request that `drops`
    says yes to is accepted and never stored; `delay` seconds pass until spans can be read.
    """

    def __init__(self, observations: FakeObservations, clock: MovableClock) -> None:
        self._observations = observations
        self._clock = clock
        self.drops: Callable[[], bool] = lambda: False
        self.delay = 0.0
        self.spans: list[Span] = []
        self.versions: list[str] = []

    def post(self, request: Request) -> Reply:
        body = request.body
        if request.headers.get("content-encoding") == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError, zlib.error):
                raise refusal(400, "Failed to decompress body") from None
        found = spans(body) if "json" not in request.headers.get("content-type", "") else _from_json(body)
        if any(len(span["spanId"]) != 16 or len(span["traceId"]) != 32 for span in found):
            raise refusal(400, "Invalid span id")
        self.versions.append(request.headers.get("x-langfuse-ingestion-version", ""))
        if self.drops():
            return Reply(200, {})
        self.spans += found
        visible = self._clock() + timedelta(seconds=self.delay) if self.delay else None
        self._observations.add(*map(observation, found), visible_at=visible)
        return Reply(200, {})


def observation(span: Span) -> Span:
    """The row that a span becomes."""
    given = span["attributes"]
    row: Span = {"id": span["spanId"], "traceId": span["traceId"], "name": span["name"]}
    row |= {
        "parentObservationId": span["parentSpanId"],
        "startTime": _time(span["start"]),
        "endTime": _time(span["end"]),
    }
    row["latency"] = max(0, span["end"] - span["start"]) / 1e9
    row["type"] = str(given.get("langfuse.observation.type", "span")).upper()
    row |= {name: given[key] for key, name in _PLAIN.items() if key in given}
    row["isRootObservation"] = not span["parentSpanId"] or bool(given.get("langfuse.internal.is_app_root"))
    if span["error"]:
        row["level"] = "ERROR"
    prefix = "langfuse.observation.metadata."
    row["metadata"] = {key.removeprefix(prefix): _text(value) for key, value in given.items() if key.startswith(prefix)}
    for key, name in (("usage_details", "usageDetails"), ("cost_details", "costDetails")):
        if f"langfuse.observation.{key}" in given:
            row[name] = json.loads(given[f"langfuse.observation.{key}"])
    about = {key.removeprefix(_EXPERIMENT): value for key, value in given.items() if key.startswith(_EXPERIMENT)}
    if about.get("id") and about.get("item.root_observation_id") == span["spanId"]:
        row["_experiment"] = about
    return row


def _text(value: Any) -> Any:
    """SDK 5 sends a text of metadata as JSON, SDK 4 as it is."""
    try:
        inner = json.loads(value)
    except (TypeError, ValueError):
        return value
    return inner if isinstance(inner, str) else value


def _time(nanoseconds: int) -> str:
    return format_time(datetime.fromtimestamp(nanoseconds / 1e9, UTC))


def _from_json(body: bytes) -> list[Span]:
    try:
        found = json.loads(body)
    except ValueError:
        raise refusal(400, "Failed to parse OTel JSON Trace") from None
    rows = []
    for resource in found.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            rows += [_json_span(span) for span in scope.get("spans", [])]
    return rows


def _json_span(span: Span) -> Span:
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    attributes = {each["key"]: _json_value(each["value"]) for each in span.get("attributes", [])}
    return {
        **{name: span.get(name) for name in ("traceId", "spanId", "name")},
        **{"parentSpanId": span.get("parentSpanId") or None, "start": start, "end": end, "attributes": attributes},
        "error": span.get("status", {}).get("code") == 2,
    }


def _json_value(value: Span) -> Any:
    if "arrayValue" in value:
        return [_json_value(each) for each in value["arrayValue"].get("values", [])]
    return int(value["intValue"]) if "intValue" in value else next(iter(value.values()), None)
