"""Results as tables: one row per item and metric, or the two normalised tables that users upload and join.

The columns of the normalised tables are those that users of the earlier systems query today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.core.digests import canonical_json, stable_id, to_plain
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricScore

if TYPE_CHECKING:
    import pandas as pd

DATASET_COLUMNS = (
    "dataset_id",
    "query",
    "expected_output",
    "actual_output",
    "additional_input",
    "acceptance_criteria",
    "dataset_metadata",
    "user_tags",
    "created_at",
    "conversation",
    "source_type",
    "environment",
    "source_name",
    "source_component",
    "tools_called",
    "expected_tools",
    "retrieved_content",
    "judgment",
    "critique",
    "trace",
    "additional_output",
    "document_text",
    "actual_reference",
    "expected_reference",
    "latency",
    "trace_id",
    "observation_id",
    "has_errors",
)
METRIC_COLUMNS = (
    "run_id",
    "evaluation_name",
    "dataset_id",
    "metric_id",
    "metric_name",
    "metric_score",
    "metric_type",
    "metric_category",
    "passed",
    "explanation",
    "threshold",
    "signals",
    "parent",
    "weight",
    "cost_estimate",
    "source",
    "timestamp",
    "version",
    "evaluation_metadata",
    "model_name",
    "llm_provider",
    "metric_metadata",
)


@dataclass(frozen=True, slots=True)
class EvaluationInfo:
    """What all rows of one evaluation share. `publishing` holds component, agent, channel and the like."""

    run_id: str
    name: str
    timestamp: datetime
    version: str = ""
    environment: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    publishing: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """All results of one evaluation, in memory."""

    info: EvaluationInfo
    results: Sequence[ItemResult]

    def to_dataframe(self) -> pd.DataFrame:
        """One row per item and metric; a failure has no score and says why under `failure` and `explanation`."""
        import pandas as pd  # late: pandas takes half a second to import

        rows = [self._flat(result.item, row) for result in self.results for row in _all_rows(result)]
        return pd.DataFrame(rows, columns=list(_FLAT_COLUMNS))

    def to_normalized_dataframes(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(items, metrics): items with one row per `dataset_id`, metric rows that refer to it.

        Columns are `DATASET_COLUMNS` and `METRIC_COLUMNS`. Structured values are JSON texts. A failed metric is a row
        with `metric_score` and `passed` empty.
        """
        import pandas as pd

        items = {result.item.id: self._dataset_row(result.item) for result in self.results}
        metrics = [self._metric_row(result.item, row) for result in self.results for row in _all_rows(result)]
        return (
            pd.DataFrame(list(items.values()), columns=list(DATASET_COLUMNS)),
            pd.DataFrame(metrics, columns=list(METRIC_COLUMNS)),
        )

    def _flat(self, item: DatasetItem, row: MetricScore | MetricFailure) -> dict[str, Any]:
        metric = self._metric_row(item, row)
        failure = {"failure": row.kind if isinstance(row, MetricFailure) else None}
        values = {_RENAMED.get(key, key): value for key, value in metric.items()}
        texts = {name: getattr(item, name) for name in _TEXT_COLUMNS}
        return values | texts | failure

    def _dataset_row(self, item: DatasetItem) -> dict[str, Any]:
        published = self.info.publishing
        structured = {name: _to_json(getattr(item, name)) for name in _STRUCTURED}
        return structured | {
            "dataset_id": item.id,
            "query": item.query,
            "expected_output": item.expected_output,
            "actual_output": item.actual_output,
            "dataset_metadata": _to_json(item.metadata),
            "created_at": item.source_timestamp or self.info.timestamp,
            "source_type": published.get("source_type"),
            "environment": published.get("environment") or self.info.environment,
            "source_name": published.get("source_name"),
            "source_component": published.get("source_component"),
            "critique": item.critique,
            "document_text": item.document_text,
            "actual_reference": _to_json(item.actual_ranking),
            "expected_reference": _to_json(item.expected_ranking),
            "latency": item.latency,
            "trace_id": item.trace_id,
            "observation_id": item.observation_id,
            "has_errors": item.has_errors,
        }

    def _metric_row(self, item: DatasetItem, row: MetricScore | MetricFailure) -> dict[str, Any]:
        ref, info = row.metric, self.info
        shared = {
            "run_id": info.run_id,
            "evaluation_name": info.name,
            "dataset_id": item.id,
            "metric_id": stable_id(info.run_id, item.id, ref.label, ref.digest),
            "metric_name": ref.label,
            "source": ref.name,
            "timestamp": item.source_timestamp or info.timestamp,
            "version": info.version,
            "evaluation_metadata": _to_json({**info.metadata, **info.publishing}),
            "metric_metadata": _to_json(
                {"class": ref.name, "version": ref.version, "digest": ref.digest} | _chance_columns(row)
            ),
            "llm_provider": None,
        }
        return shared | (_score_columns(row) if isinstance(row, MetricScore) else _failure_columns(row))


_STRUCTURED = (
    "additional_input",
    "acceptance_criteria",
    "user_tags",
    "conversation",
    "tools_called",
    "expected_tools",
    "retrieved_content",
    "judgment",
    "trace",
    "additional_output",
)
_TEXT_COLUMNS = ("query", "actual_output", "expected_output", "trace_id")
_RENAMED = {"metric_name": "metric", "metric_score": "score", "dataset_id": "item_id", "metric_type": "kind"}
_FLAT_COLUMNS = (*(_RENAMED.get(name, name) for name in METRIC_COLUMNS), *_TEXT_COLUMNS, "failure")


def _chance_columns(row: MetricScore | MetricFailure) -> dict[str, Any]:
    """What an aggregate of these rows needs besides the value, where the metric judged by chance."""
    if isinstance(row, MetricScore) and row.chance is not None:
        return {"proxy": row.proxy, "chance": row.chance}
    return {}


def _all_rows(result: ItemResult) -> list[MetricScore | MetricFailure]:
    return [*result.scores, *result.failures]


def _to_json(value: object) -> str | None:
    return None if value is None or value == () or value == {} else canonical_json(to_plain(value))


def _score_columns(row: MetricScore) -> dict[str, Any]:
    return {
        "metric_score": row.value,
        "metric_type": row.kind,
        "metric_category": "score",
        "passed": row.passed,
        "explanation": row.explanation,
        "threshold": row.threshold,
        "signals": _to_json(row.signals),
        "parent": row.parent,
        "weight": row.weight,
        "cost_estimate": row.cost,
        "model_name": row.model,
    }


def _failure_columns(row: MetricFailure) -> dict[str, Any]:
    why = f"{row.kind}: {row.message}"
    empty = dict.fromkeys(("metric_score", "passed", "threshold", "signals", "parent", "weight", "cost_estimate"))
    return empty | {"metric_type": "metric", "metric_category": "score", "explanation": why, "model_name": None}
