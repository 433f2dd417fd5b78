"""A batch of scored items as rows of the normalised tables (`evaluation_tables.py`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from shared.core.digests import to_plain
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore, RunReport
from shared.core.state.item_history import own_id
from shared.database.upload.evaluation_tables import dataset_key, result_key

_PLACES = ("source_type", "source_name", "source_component")
_ABOUT = ("description", "agent", "channel")


def dataset_rows(batch: Batch) -> Iterator[dict[str, Any]]:
    """What was judged, each content once; `created_at` is left to the database."""
    placed: dict[str, Any] = {name: batch.run.config.publishing.get(name) for name in _PLACES}
    placed |= {"environment": _environment(batch.run), "source_key": batch.stream.source_key}
    seen: set[str] = set()
    for result in batch.results:
        key = dataset_key(batch.stream, result.item)
        if key not in seen:
            seen.add(key)
            yield {"dataset_key": key, **_item_cells(result.item), **placed}


def result_rows(batch: Batch) -> Iterator[dict[str, Any]]:
    """What was said of it: a row for each score, and one without a score for each metric that gave none."""
    common = _run_cells(batch)
    for result in batch.results:
        base = common | _place_cells(batch, result)
        for score in result.scores:
            yield {**base, **_keys(batch, result, score.metric), **_score_cells(score)}
        for failure in result.failures:
            yield {**base, **_keys(batch, result, failure.metric), **_failure_cells(failure)}


def _item_cells(item: DatasetItem) -> dict[str, Any]:
    return {
        "dataset_id": own_id(item.id),
        "query": item.query,
        "expected_output": item.expected_output,
        "actual_output": item.actual_output,
        "additional_input": to_plain(item.additional_input),
        "acceptance_criteria": to_plain(item.acceptance_criteria),
        "dataset_metadata": to_plain(item.metadata),
        "user_tags": to_plain(item.user_tags),
        "conversation": to_plain(item.conversation),
        "tools_called": to_plain(item.tools_called),
        "expected_tools": to_plain(item.expected_tools),
        "retrieved_content": to_plain(item.retrieved_content),
        "judgment": item.judgment,
        "critique": item.critique,
        "trace": to_plain(item.trace),
        "additional_output": to_plain(item.additional_output),
        "document_text": item.document_text,
        "actual_reference": to_plain(item.actual_ranking),
        "expected_reference": to_plain(item.expected_ranking),
        "latency": item.latency,
        "trace_id": item.trace_id,
        "observation_id": item.observation_id,
        "has_errors": item.has_errors,
        "session_id": item.session_id,
        "source_timestamp": item.source_timestamp,
    }


def _run_cells(batch: Batch) -> dict[str, Any]:
    run = batch.run
    about = {name: run.config.publishing[name] for name in _ABOUT if name in run.config.publishing}
    metadata = to_plain(run.config.publishing.get("metadata"))
    more = metadata if isinstance(metadata, Mapping) else {}
    return {
        "run_id": run.run_id,
        "evaluation_name": run.monitor,
        "eval_mode": run.config.publishing.get("eval_mode"),
        "evaluation_metadata": {**about, **more} or None,
        "version": run.config.version or None,
        "source_key": batch.stream.source_key,
        "monitor_key": batch.stream.monitor_key,
        "batch_id": batch.id,
    }


def _place_cells(batch: Batch, result: ItemResult) -> dict[str, Any]:
    item = result.item
    return {
        "dataset_id": own_id(item.id),
        "dataset_key": dataset_key(batch.stream, item),
        "item_id": item.id,
        "timestamp": item.source_timestamp or batch.run.started_at,
    }


def _keys(batch: Batch, result: ItemResult, metric: MetricRef) -> dict[str, Any]:
    key = result_key(batch.stream, result.item.id, metric)
    vendor, colon, _ = metric.name.partition(":")
    return {
        "result_key": key,
        "metric_id": key,
        "metric_name": metric.label,
        "metric_class": metric.name,
        "metric_version": metric.version,
        "metric_digest": metric.digest,
        "source": vendor if colon else "trueline",
    }


def _score_cells(score: MetricScore) -> dict[str, Any]:
    more = {name: getattr(score, name) for name in ("proxy", "chance") if getattr(score, name) is not None}
    return {
        "metric_score": score.value if math.isfinite(score.value) else None,
        "passed": score.passed,
        "explanation": score.explanation,
        "metric_type": score.kind,
        "metric_category": "score",
        "threshold": score.threshold,
        "signals": to_plain(score.signals),
        "parent": score.parent,
        "weight": score.weight,
        "metric_metadata": more or None,
        "cost_estimate": score.cost,
        "model_name": score.model,
    }


def _failure_cells(failure: MetricFailure) -> dict[str, Any]:
    return {
        "explanation": f"{failure.kind}: {failure.message}",
        "metric_type": "metric",
        "metric_category": "score",
        "failure_kind": failure.kind,
        "failure_message": failure.message,
    }


def _environment(run: RunReport) -> str | None:
    return run.config.publishing.get("environment") or run.config.environment or None
