"""Recorded traces as the spans that an application sends to Langfuse: OTLP in JSON, for its `otel/v1/traces`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.core.clock import parse_time

Span = dict[str, Any]

_OBSERVATION = "langfuse.observation."
_OF_TRACE = {
    "user.id": "userId",
    "session.id": "sessionId",
    "langfuse.environment": "environment",
    "langfuse.version": "version",
    "langfuse.trace.name": "name",
    "langfuse.trace.tags": "tags",
}
_OF_STEP = {
    "input": "input",
    "output": "output",
    "level": "level",
    "model.name": "model",
    "model.parameters": "modelParameters",
    "usage_details": "usageDetails",
    "prompt.name": "promptName",
    "prompt.version": "promptVersion",
}


def build_export(traces: Iterable[tuple[Mapping[str, Any], datetime]]) -> dict[str, Any]:
    """One export of traces, each with the moment it is to have begun: durations stay, times move."""
    spans = [span for trace, at in traces for span in trace_spans(trace, at)]
    resource = {"attributes": [_attribute("service.name", "athena")]}
    scope = {"scope": {"name": "athena"}, "spans": spans}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def trace_spans(trace: Mapping[str, Any], at: datetime) -> list[Span]:
    """A trace of `data/athena` as spans: its own fields on a root, its observations below, begun at `at`.

    Span ids are made of the observations' ids, so that the same trace sent twice is the same spans.
    """
    moved = at - parse_time(trace["timestamp"])
    shared = {key: trace[name] for key, name in _OF_TRACE.items() if trace.get(name) is not None}
    root = span_id(f"{trace['id']}:root")
    own = {"type": "span", "input": trace["input"], "output": trace["output"]}
    end = at + timedelta(seconds=trace["latency"])
    attributes = shared | _observation_attributes(own) | _metadata(trace)
    spans = [{"traceId": trace["id"], **_span(root, trace["name"], at, end, attributes)}]
    for step in trace["observations"]:
        own = {"type": str(step["type"]).lower()}
        own |= {key: step[name] for key, name in _OF_STEP.items() if step.get(name) is not None}
        begin, end = (parse_time(step[name]) + moved for name in ("startTime", "endTime"))
        attributes = shared | _observation_attributes(own) | _metadata(step)
        span = _span(span_id(step["id"]), step["name"], begin, end, attributes)
        spans.append({"traceId": trace["id"], "parentSpanId": root, **span})
    return spans


def span_id(name: str) -> str:
    """Sixteen hexadecimal digits, the same for the same name."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _span(own: str, name: str, start: datetime, end: datetime, attributes: Mapping[str, Any]) -> Span:
    return {
        **{"spanId": own, "name": name, "kind": 1},
        **{"startTimeUnixNano": _to_nanoseconds(start), "endTimeUnixNano": _to_nanoseconds(end)},
        "attributes": [_attribute(key, value) for key, value in attributes.items()],
    }


def _observation_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_OBSERVATION + key: value for key, value in values.items()}


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    """Each key as an attribute of its own, its value as a text, as Langfuse's own SDK sends it."""
    values = record.get("metadata") or {}
    texts = {key: value if isinstance(value, str) else _json(value) for key, value in values.items()}
    return {f"{_OBSERVATION}metadata.{key}": text for key, text in texts.items()}


def _attribute(key: str, value: object) -> dict[str, Any]:
    return {"key": key, "value": _value(value)}


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"intValue": str(value)}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {"arrayValue": {"values": [{"stringValue": each} for each in value]}}
    return {"stringValue": value if isinstance(value, str) else _json(value)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _to_nanoseconds(moment: datetime) -> str:
    return str((moment - datetime.fromtimestamp(0, moment.tzinfo)) // timedelta(microseconds=1) * 1000)
