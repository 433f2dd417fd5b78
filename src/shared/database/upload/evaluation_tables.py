"""The normalised tables that users query, in a database of theirs: `evaluation_dataset`, `evaluation_results`, and
`evaluation_view`, which joins them. Columns of the earlier system keep name, type and meaning; ours stand behind them.

Who is who. `dataset_id` is the id that the source gave, as ever. It is no key any more: two sources may give the same
id, and an item may come again with other content, or read by another monitor's extractor. The key is `dataset_key`, a
digest of source, id and content, so a score always points at the very text that was judged, a row never has to be
overwritten, and monitors that see the same content share one row. A result's key is `result_key`, a digest of what
identifies a score in stored state (source, monitor, item with its version, label, metric digest): two labels of one
class and two versions of one metric stay apart, and a batch that comes again, perhaps in a later run, finds its own
rows. `run_id` is no part of it for that reason. Rows from before carry keys made of their old primary keys.

Queries by `dataset_id`, and joins over it, give what they gave as long as an id has one row; where it has several, join
over `dataset_key`, or read `evaluation_view`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles

from shared.core.digests import content_digest, stable_id
from shared.core.records import CONTENT_FIELDS, DatasetItem
from shared.core.results import MetricRef, Stream
from shared.core.state.item_history import own_id
from shared.database.schema.column_types import Id, columns
from shared.database.upload.value_conversion import Kind

JSON = sa.Text().with_variant(JSONB(), "postgresql")
MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


class _Now(sa.sql.expression.FunctionElement[object]):
    """This moment, as `MOMENT` writes it."""

    inherit_cache = True


@compiles(_Now)
def _now(element: _Now, compiler: object, **_: object) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_Now, "sqlite")
def _now_in_sqlite(element: _Now, compiler: object, **_: object) -> str:
    return "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))"


metadata = sa.MetaData()


dataset = sa.Table(
    "evaluation_dataset",
    metadata,
    sa.Column("dataset_id", sa.Text, nullable=False),
    *columns(sa.Text(), "query", "expected_output", "actual_output"),
    *columns(JSON, "additional_input", "acceptance_criteria", "dataset_metadata", "user_tags"),
    sa.Column("created_at", MOMENT, server_default=_Now()),
    *columns(JSON, "conversation"),
    *columns(sa.Text(), "source_type", "environment", "source_name", "source_component"),
    *columns(JSON, "tools_called", "expected_tools", "retrieved_content", "judgment", "critique", "trace"),
    *columns(JSON, "additional_output"),
    *columns(sa.Text(), "document_text"),
    *columns(JSON, "actual_reference", "expected_reference"),
    sa.Column("latency", sa.Double),
    *columns(sa.Text(), "trace_id", "observation_id"),
    sa.Column("has_errors", sa.Boolean),
    # Ours.
    sa.Column("dataset_key", Id, primary_key=True),
    *columns(sa.Text(), "source_key", "session_id"),
    sa.Column("source_timestamp", MOMENT),
    sa.Index("idx_eval_dataset_created_at", "created_at"),
    sa.Index("idx_eval_dataset_dataset_id", "dataset_id"),
)
"""What was judged: one row for each source, id and content."""

results = sa.Table(
    "evaluation_results",
    metadata,
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("dataset_id", sa.Text, nullable=False),
    sa.Column("metric_name", sa.Text, nullable=False),
    sa.Column("metric_score", sa.Double),
    sa.Column("passed", sa.Boolean),
    *columns(sa.Text(), "explanation", "metric_type", "metric_category"),
    sa.Column("threshold", sa.Double),
    *columns(JSON, "signals"),
    *columns(sa.Text(), "metric_id", "parent"),
    sa.Column("weight", sa.Double),
    *columns(sa.Text(), "source"),
    *columns(JSON, "metric_metadata"),
    *columns(sa.Text(), "evaluation_name", "eval_mode"),
    sa.Column("cost_estimate", sa.Double),
    *columns(sa.Text(), "model_name", "llm_provider"),
    sa.Column("timestamp", MOMENT, server_default=_Now()),
    *columns(JSON, "evaluation_metadata"),
    *columns(sa.Text(), "version"),
    # Ours.
    sa.Column("result_key", Id, primary_key=True),
    sa.Column("dataset_key", Id, sa.ForeignKey("evaluation_dataset.dataset_key"), nullable=False),
    *columns(sa.Text(), "item_id", "source_key", "monitor_key"),
    *columns(sa.Text(), "metric_class", "metric_version", "metric_digest"),
    *columns(sa.Text(), "failure_kind", "failure_message", "batch_id"),
    sa.Index("idx_eval_results_dataset_id", "dataset_id"),
    sa.Index("idx_eval_results_run_id", "run_id"),
    sa.Index("idx_eval_results_timestamp", "timestamp"),
    sa.Index("idx_eval_results_dataset_key", "dataset_key"),
)
"""What was said of it: one row for each score, and for each metric that gave none in the end (`failure_kind`)."""

VIEW = "evaluation_view"
_OF_DATASET = (
    "dataset_id", "query", "actual_output", "expected_output", "source_type", "environment", "source_name",
    "source_component", "user_tags", "additional_input", "acceptance_criteria", "dataset_metadata", "created_at",
    "conversation", "tools_called", "expected_tools", "retrieved_content", "judgment", "critique", "trace",
    "additional_output", "document_text", "actual_reference", "expected_reference", "latency", "trace_id",
    "observation_id", "has_errors",
)  # fmt: skip
_OF_RESULTS = (
    "metric_id", "run_id", "evaluation_name", "metric_name", "metric_score", "passed", "explanation", "metric_type",
    "metric_category", "threshold", "signals", "parent", "weight", "source", "metric_metadata", "eval_mode",
    "cost_estimate", "model_name", "llm_provider", "timestamp", "evaluation_metadata", "version",
)  # fmt: skip
_OURS = (
    "d.dataset_key", "d.session_id", "d.source_timestamp", "r.result_key", "r.item_id", "r.source_key", "r.monitor_key",
    "r.metric_class", "r.metric_version", "r.metric_digest", "r.failure_kind", "r.failure_message", "r.batch_id",
)  # fmt: skip


def view_query() -> str:
    """What the view selects: the older columns in their older order, so that it can be replaced in place, then ours."""
    first = ["d.created_at AS dataset_created_at" if name == "created_at" else f"d.{name}" for name in _OF_DATASET]
    columns = ", ".join([*first, *(f"r.{name}" for name in _OF_RESULTS), *_OURS])
    return f"SELECT {columns} FROM evaluation_results r JOIN evaluation_dataset d ON r.dataset_key = d.dataset_key"


def dataset_key(stream: Stream, item: DatasetItem) -> str:
    """The key of the row that holds what was judged."""
    return stable_id("evaluation_dataset", stream.source_key, own_id(item.id), content_digest(item, CONTENT_FIELDS))


def result_key(stream: Stream, item_id: str, metric: MetricRef) -> str:
    """The key of a result: that of a score in stored state."""
    return stable_id("evaluation_result", stream.source_key, stream.monitor_key, item_id, metric.label, metric.digest)


def kinds_of(table: str) -> dict[str, Kind]:
    """The kinds of our own columns by name, for SQLite, where JSON and times are texts; empty for other tables."""
    known = metadata.tables.get(table)
    if known is None:
        return {}
    return {column.name: "json" if column.type is JSON else "moment" for column in known.columns if _special(column)}


def _special(column: sa.Column[Any]) -> bool:
    return column.type is JSON or column.type is MOMENT


def with_keys(table: str, columns: Mapping[str, Sequence[Any]], on_file: bool) -> Mapping[str, Sequence[Any]]:
    """The columns of rows for one of the normalised tables, with the keys they lack: `dataset_id` is their `id`,
    `dataset_key` their `dataset_id`, `result_key` the JSON list of run, id and metric. Other tables' are as they were.
    """
    name = table.rpartition(".")[2]
    if name not in (dataset.name, results.name):
        return columns
    made = dict(columns)
    if "dataset_id" not in made and "id" in made:
        made["dataset_id"] = made["id"]
    if "dataset_key" not in made and "dataset_id" in made:
        made["dataset_key"] = made["dataset_id"]
    parts = ("run_id", "dataset_id", "metric_name")
    if name == results.name and "result_key" not in made and all(part in made for part in parts):
        separators = (",", ":") if on_file else (", ", ": ")
        rows = zip(*(made[part] for part in parts), strict=True)
        made["result_key"] = [_join_parts(row, separators) for row in rows]
    return made


def _join_parts(row: tuple[Any, ...], separators: tuple[str, str]) -> str | None:
    """The list as the database itself writes it; None where a part is missing, which the upload then refuses."""
    if not all(isinstance(part, str) for part in row):
        return None
    return json.dumps(row, ensure_ascii=False, separators=separators)
