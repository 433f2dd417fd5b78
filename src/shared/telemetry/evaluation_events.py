"""Scores as `gen_ai.evaluation.result` events, by OpenTelemetry's semantic conventions for generative AI.

An event is parented to the span that was judged, by the item's trace id and observation id where these are what
OpenTelemetry takes for ids (32 and 16 hexadecimal digits, not all zero).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import MetricFailure, MetricScore, RunReport

EVENT = "gen_ai.evaluation.result"

_TRACE = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")
_SPAN = re.compile(r"(?!0{16})[0-9a-fA-F]{16}")

Value = str | float


@dataclass(frozen=True, slots=True)
class EvaluationEvent:
    """One event: the span it belongs to (ids are bytes, empty where there is none), and its attributes."""

    trace_id: bytes
    span_id: bytes
    attributes: Mapping[str, Value]
    failed: bool = False


def evaluation_events(batch: Batch) -> Iterator[EvaluationEvent]:
    """One event for each score and each failure of the batch, in their order."""
    for result in batch.results:
        trace_id, span_id = find_span(result.item)
        common = _run_attributes(batch.run) | _item_attributes(result.item, trace_id)
        for score in result.scores:
            yield EvaluationEvent(trace_id, span_id, _score_attributes(score) | common)
        for failure in result.failures:
            yield EvaluationEvent(trace_id, span_id, _failure_attributes(failure) | common, failed=True)


def find_span(item: DatasetItem) -> tuple[bytes, bytes]:
    """Trace id and span id of what was judged; empty where the item's ids are none. A span needs its trace."""
    trace, span = item.trace_id or "", item.observation_id or ""
    if not _TRACE.fullmatch(trace):
        return b"", b""
    return bytes.fromhex(trace), bytes.fromhex(span) if _SPAN.fullmatch(span) else b""


def _score_attributes(score: MetricScore) -> dict[str, Value]:
    found = _metric_attributes(score)
    if math.isfinite(score.value):
        found["gen_ai.evaluation.score.value"] = float(score.value)
    if score.passed is not None:
        found["gen_ai.evaluation.score.label"] = "pass" if score.passed else "fail"
    if score.explanation:
        found["gen_ai.evaluation.explanation"] = score.explanation
    if score.threshold is not None:
        found["trueline.threshold"] = float(score.threshold)
    return found | _drop_empty({"trueline.parent": score.parent, "trueline.judge.model": score.model})


def _failure_attributes(failure: MetricFailure) -> dict[str, Value]:
    return _metric_attributes(failure) | _drop_empty(
        {"error.type": failure.kind, "trueline.failure.message": failure.message}
    )


def _metric_attributes(made: MetricScore | MetricFailure) -> dict[str, Value]:
    metric = made.metric
    found: dict[str, Value] = {"gen_ai.evaluation.name": metric.label, "trueline.metric.class": metric.name}
    return found | {"trueline.metric.version": metric.version, "trueline.metric.digest": metric.digest}


def _run_attributes(run: RunReport) -> dict[str, Value]:
    return {"trueline.monitor": run.monitor, "trueline.run_id": run.run_id}


def _item_attributes(item: DatasetItem, trace_id: bytes) -> dict[str, Value]:
    """`gen_ai.response.id` is the model's own id of the answer, where the extractor keeps it in the metadata."""
    response = item.metadata.get("response_id")
    found = {
        "trueline.item_id": item.id,
        "session.id": item.session_id,
        "gen_ai.response.id": response if isinstance(response, str) else None,
        "trueline.trace_id": None if trace_id else item.trace_id,
    }
    return _drop_empty(found)


def _drop_empty(values: Mapping[str, str | None]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value}
