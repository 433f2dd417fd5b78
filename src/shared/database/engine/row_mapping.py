"""Between records and rows: what every store of this room needs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from shared.core.errors import ItemError, StoreError
from shared.core.records import UNKNOWN_ENVIRONMENT, DatasetItem
from shared.core.results import Decision, ItemResult, MetricFailure, MetricRef, MetricScore, Stream
from shared.database.engine.copy_rows import MANY, copy_new, may_copy

Row = sa.Row[Any]
Parts = TypeVar("Parts")

CHUNK = 1000
"""Ids in one IN: measured on ten million rows, more is no faster, and every database allows this many."""


def chunks(values: Iterable[Parts], size: int = CHUNK) -> Iterator[list[Parts]]:
    """The values in lists of at most `size`, drawn from the iterable as they are asked for."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def in_stream(table: sa.Table, stream: Stream) -> sa.ColumnElement[bool]:
    """The rows of one stream."""
    return sa.and_(table.c.source_key == stream.source_key, table.c.monitor_key == stream.monitor_key)


def key(stream: Stream, item_id: str) -> dict[str, Any]:
    """The columns that every row about an item begins with."""
    return {"source_key": stream.source_key, "monitor_key": stream.monitor_key, "item_id": item_id}


def build_insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT in the database's own dialect, which knows `ON CONFLICT`."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> int | None:
    """Insert the rows whose key is not there yet; the others stay as they are. How many were new; None on Postgres,
    whose driver does not count them."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        text, bind_row = _sqlite_insert(table, tuple(rows[0]), connection.dialect)
        return connection.exec_driver_sql(text, [bind_row(row) for row in rows]).rowcount
    if len(rows) >= MANY and may_copy(connection):
        copy_new(connection, table, rows, _find_binders(table, tuple(rows[0]), connection.dialect))
    else:
        connection.execute(build_insert(connection, table).on_conflict_do_nothing(), rows)
    return None


@lru_cache
def _find_binders(
    table: sa.Table, names: tuple[str, ...], dialect: sa.Dialect
) -> dict[str, Callable[[Any], Any] | None]:
    return {name: _find_binder(table.c[name].type, dialect) for name in names}


@lru_cache
def _sqlite_insert(
    table: sa.Table, names: tuple[str, ...], dialect: sa.Dialect
) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """An INSERT for the driver itself, and what makes its parameters of a row: a fifth of the time that SQLAlchemy
    takes for a row of many columns."""
    text = (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT DO NOTHING"
    )
    found = ((place, _find_binder(table.c[name].type, dialect)) for place, name in enumerate(names))
    changed = [(place, bind) for place, bind in found if bind is not None]

    def bind_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
        values = list(map(row.__getitem__, names))
        for place, bind in changed:
            if values[place] is not None:
                values[place] = bind(values[place])
        return tuple(values)

    return text, bind_row


def _find_binder(of: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    if isinstance(of, sa.types.TypeDecorator):
        return partial(of.process_bind_param, dialect=dialect)
    return of.dialect_impl(dialect).bind_processor(dialect)


def known_ids(
    connection: sa.Connection, table: sa.Table, stream: Stream, ids: Iterable[str], *also: sa.ColumnElement[bool]
) -> set[str]:
    """Which of the ids the table has in this stream, under further conditions if there are any."""
    found: set[str] = set()
    for part in chunks(sorted(ids)):  # neighbours in the key stand on the same pages
        query = sa.select(table.c.item_id).where(in_stream(table, stream), has_id_in(connection, table, part), *also)
        found.update(connection.execute(query).scalars())
    return found


def has_id_in(connection: sa.Connection, table: sa.Table, ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """The rows about these items."""
    return is_in(connection, table.c.item_id, ids)


def is_in(connection: sa.Connection, column: sa.Column[Any], texts: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether a text is one of these. They are one parameter, so that the statement is always the same: SQLAlchemy
    takes longer to write a thousand of them into it than the database takes to look them up."""
    if connection.dialect.name == "sqlite":
        listed = sa.func.json_each(json.dumps(texts)).table_valued("value")
        return column.in_(sa.select(sa.cast(listed.c.value, sa.Text)))
    return column == sa.any_(sa.cast(list(texts), postgresql.ARRAY(sa.Text)))


def item_row(stream: Stream, item: DatasetItem, at: datetime) -> dict[str, Any]:
    """The row of a drawn item."""
    payload = item.to_dict()
    if item.trace_environment != UNKNOWN_ENVIRONMENT:
        payload["trace_environment"] = item.trace_environment
    return {**key(stream, item.id), "payload": payload, "stored_at": at}


def read_item(row: Row) -> DatasetItem:
    """The item of a row with `item_id` and `payload`.

    Raises:
        StoreError: when what was stored is no item any more.
    """
    try:
        return DatasetItem.from_dict(row.payload)
    except (ItemError, AttributeError) as error:
        raise StoreError(f"stored item {row.item_id!r} cannot be read: {error}; restore a copy") from error


def read_decision(row: Row) -> Decision:
    """The decision of a row of `decisions`."""
    return Decision(row.item_id, row.drawn, row.probability, row.strategy, row.stratum)


def _metric_columns(ref: MetricRef) -> dict[str, Any]:
    return {
        "label": ref.label,
        "metric_digest": ref.digest,
        "class_name": ref.name,
        "metric_version": ref.version,
    }


def _metric_of(row: Row) -> MetricRef:
    return MetricRef(row.label, row.class_name, row.metric_version, row.metric_digest)


def score_rows(stream: Stream, result: ItemResult, run_id: str, at: datetime) -> Iterator[dict[str, Any]]:
    """The rows of an item's scores."""
    source, monitor, item_id = stream.source_key, stream.monitor_key, result.item.id
    item_at = result.item.source_timestamp or at
    for score in result.scores:
        metric = score.metric
        yield {
            "source_key": source,
            "monitor_key": monitor,
            "item_id": item_id,
            "label": metric.label,
            "metric_digest": metric.digest,
            "class_name": metric.name,
            "metric_version": metric.version,
            "run_id": run_id,
            "value": None if math.isnan(score.value) else score.value,
            "passed": score.passed,
            "threshold": score.threshold,
            "explanation": score.explanation,
            "signals": score.signals,
            "kind": score.kind,
            "parent": score.parent,
            "weight": score.weight,
            "cost": score.cost,
            "model": score.model,
            "proxy": score.proxy,
            "chance": score.chance,
            "scored_at": at,
            "item_at": item_at,
        }


def read_score(row: Row) -> MetricScore:
    """The score of a row of `scores`; a value that was not a number is NaN again."""
    return MetricScore(
        metric=_metric_of(row),
        value=math.nan if row.value is None else row.value,
        passed=row.passed,
        threshold=row.threshold,
        explanation=row.explanation,
        signals=row.signals,
        kind=row.kind,
        parent=row.parent,
        weight=row.weight,
        cost=row.cost,
        model=row.model,
        proxy=row.proxy,
        chance=row.chance,
    )


def failure_row(stream: Stream, failure: MetricFailure, run_id: str, attempt: int, at: datetime) -> dict[str, Any]:
    """The row of a metric that gave no score in its `attempt`-th try."""
    return {
        **key(stream, failure.item_id),
        **_metric_columns(failure.metric),
        "run_id": run_id,
        "attempt": attempt,
        "kind": failure.kind,
        "message": failure.message,
        "failed_at": at,
    }


def read_failure(row: Row) -> MetricFailure:
    """The failure of a row of `failures`."""
    return MetricFailure(_metric_of(row), row.item_id, row.kind, row.message)


def rows_by_item(
    connection: sa.Connection, table: sa.Table, stream: Stream, ids: Sequence[str], *also: sa.ColumnElement[bool]
) -> dict[str, list[Row]]:
    """All rows of the table about these items, by item, in the order of the key."""
    found: dict[str, list[Row]] = {}
    for part in chunks(ids):
        query = sa.select(table).where(in_stream(table, stream), has_id_in(connection, table, part), *also)
        for row in connection.execute(query.order_by(*table.primary_key.columns)).all():
            found.setdefault(row.item_id, []).append(row)
    return found
