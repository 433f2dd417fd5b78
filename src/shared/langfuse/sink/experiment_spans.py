"""The spans by which an item becomes part of an experiment's run, from the body of its message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from shared.core.clock import parse_time
from shared.langfuse.api.otlp_spans import Attribute, OtlpSpan, to_attribute
from shared.langfuse.api.own_spans import ITEM_SPAN, evaluation_span_id
from shared.langfuse.api.read_queries import EXPERIMENTS, Row


@dataclass(frozen=True, slots=True)
class ExperimentRun:
    """A run of an experiment: its dataset and project by id, and its name."""

    dataset_id: str
    project_id: str
    name: str

    @property
    def experiment_id(self) -> str:
        """The id that Langfuse's server and SDK give a run of a dataset (its SDK, `_create_experiment_id`)."""
        payload = ["langfuse-experiment-v1", self.project_id, self.dataset_id, self.name]
        return sha256(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()[:16]


def build_spans(body: Mapping[str, Any], root: Row, experiment: Mapping[str, Attribute]) -> list[OtlpSpan]:
    """An item's span, and one below it for each evaluation. `root`: the root of a linked trace, empty where it is not
    known. The span goes under it, or under the item's own observation, and lies within its time.
    """
    start, end = _span_times(body, root)
    environment = (root.get("environment") or body["environment"]) if body["linked"] else EXPERIMENTS
    shared: dict[str, Attribute] = dict(experiment)
    if environment:
        shared["langfuse.environment"] = environment
    own = _without_none({
        **{"langfuse.observation.type": "span", "langfuse.observation.input": to_attribute(body["item"]["input"])},
        "langfuse.observation.output": to_attribute(body["output"]),
        **{f"langfuse.observation.metadata.{name}": body[name] for name in ("monitor", "run_id")},
        "langfuse.observation.metadata.item_id": body["item"]["own"],
        "langfuse.observation.metadata.source_trace_id": body["item"]["source_trace_id"],
    })  # fmt: skip
    if not body["linked"]:
        own["langfuse.trace.name"] = f"experiment {body['run']}"
        own |= {"langfuse.trace.tags": body["tags"]} if body["tags"] else {}
    parent = (body["parent"] or root.get("id")) if body["linked"] else None
    spans = [OtlpSpan(body["trace"], body["span"], ITEM_SPAN, start, end, shared | own, parent)]
    for each in body["evaluations"]:
        spans.append(_evaluation_span(body, each, shared, end))
    return spans


def _span_times(body: Mapping[str, Any], root: Row) -> tuple[datetime, datetime]:
    """Start and end. In a linked trace the span begins with the root, whatever time the item has."""
    start, end = parse_time(body["start"]), parse_time(body["end"])
    if not root:
        return start, end
    first = parse_time(root["startTime"])
    last = parse_time(root.get("endTime") or root["startTime"])
    return first, max(first, min(last, first + (end - start)))


def _evaluation_span(body: Mapping[str, Any], each: Row, shared: Mapping[str, Attribute], end: datetime) -> OtlpSpan:
    span_id = evaluation_span_id(body["span"], each["name"])
    output = {name: each[name] for name in ("value", "passed", "explanation")}
    own = _without_none({
        **{"langfuse.observation.type": "evaluator", "langfuse.observation.output": to_attribute(output)},
        "langfuse.observation.metadata.class": each["class"],
        "langfuse.observation.metadata.model": each["model"],
        "langfuse.observation.metadata.cost": to_attribute(each["cost"]),
    })  # fmt: skip
    return OtlpSpan(body["trace"], span_id, each["name"], end, end, {**shared, **own}, body["span"])


def experiment_attributes(run: ExperimentRun, item_id: str, body: Mapping[str, Any]) -> dict[str, Attribute]:
    """What makes a span part of a run, under the names that Langfuse's SDK gives it (`_client/attributes.py`)."""
    item = body["item"]
    found = {
        **{"id": run.experiment_id, "name": run.name, "description": body["description"] or None},
        **{"metadata": to_attribute(body["metadata"] or None), "dataset.id": run.dataset_id, "item.id": item_id},
        **{
            "item.expected_output": to_attribute(item["expected_output"]),
            "item.metadata": to_attribute(item["metadata"]),
        },
        "item.root_observation_id": body["span"],
    }
    return _without_none({f"langfuse.experiment.{name}": value for name, value in found.items()})


def _without_none(pairs: Mapping[str, str | None]) -> dict[str, Attribute]:
    return {name: value for name, value in pairs.items() if value is not None}
