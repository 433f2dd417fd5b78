"""`ResultReader` on a database: stored scores and failures. Nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.results import ResultOutline, StoredResult, Stream
from shared.core.state.score_aggregates import DAY, AggregateKey, ScoreAggregate
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import (
    Row,
    chunks,
    in_stream,
    read_decision,
    read_failure,
    read_item,
    read_score,
    rows_by_item,
)
from shared.database.runs.conditions import PAGE, is_same_item, standing_failures
from shared.database.runs.outlines import read_outline_page
from shared.database.runs.sql_aggregates import read_aggregates
from shared.database.schema.tables import decisions, failures, items, scores

_OUTLINES = 5_000
"""Items that `read_outlines` holds in memory at a time."""

RECENT = 100_000
"""Past scores that `read_spreads` looks at: the newest, enough for two digits."""


class SqlResultReader:
    """`ResultReader` on `database`. Every method raises `StoreError` when it cannot be read."""

    def __init__(self, database: Database, group_by: tuple[str, ...] = ()) -> None:
        self._database, self._group_by = database, group_by

    def read_results(
        self, stream: Stream, run_id: str | None = None, since: datetime | None = None
    ) -> Iterator[StoredResult]:
        last = ""
        while True:
            with self._database.read() as connection:
                ids = list(connection.scalars(page_of_ids(stream, run_id, since, last)))
                found = _read_page(connection, stream, ids, run_id, since)
            yield from found
            if len(ids) < PAGE:
                return
            last = ids[-1]

    def read_shown(self, stream: Stream, run_id: str, item_ids: Sequence[str]) -> dict[str, StoredResult]:
        with self._database.read() as connection:
            found = _read_page(connection, stream, sorted(set(item_ids)), run_id, None)
        return {each.item.id: each for each in found}

    def read_outlines(self, stream: Stream, run_id: str) -> Iterator[ResultOutline]:
        last = ""
        while True:
            with self._database.read() as connection:
                ids = list(connection.scalars(page_of_ids(stream, run_id, None, last, _OUTLINES)))
                found = read_outline_page(connection, stream, run_id, ids)
            yield from found
            if len(ids) < _OUTLINES:
                return
            last = ids[-1]

    def read_aggregates(self, stream: Stream, days: int, width: int = DAY) -> dict[AggregateKey, ScoreAggregate]:
        return read_aggregates(self._database, stream, (days, width), self._group_by)

    def read_spreads(self, stream: Stream, label: str) -> dict[str, float]:
        """Standard deviation (n - 1) of a metric's newest 100,000 scores by stratum, where there are at least two."""
        mine = (in_stream(scores, stream), scores.c.label == label, scores.c.value.is_not(None))
        query = sa.select(scores.c.item_id, scores.c.value).where(*mine).order_by(scores.c.item_at.desc()).limit(RECENT)
        values: dict[str, list[float]] = {}
        with self._database.read() as connection:
            for part in chunks(connection.execute(query).all()):
                decided = rows_by_item(connection, decisions, stream, [row.item_id for row in part])
                for row in part:
                    if math.isfinite(row.value):
                        values.setdefault(decided[row.item_id][0].stratum, []).append(row.value)
        return {stratum: _deviation(found) for stratum, found in values.items() if len(found) > 1}


def _made_by(table: sa.Table, run_id: str | None, since: datetime | None) -> list[sa.ColumnElement[bool]]:
    """Conditions on rows of `scores` or `failures`: made by a run, made since a moment."""
    when = table.c.scored_at if "scored_at" in table.c else table.c.failed_at
    limits = [] if run_id is None else [table.c.run_id == run_id]
    return limits if since is None else [*limits, when >= since]


def page_of_ids(
    stream: Stream, run_id: str | None, since: datetime | None, last: str, size: int = PAGE
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """The next ids of items that have scores or failures, after `last`."""
    if run_id is not None:
        parts = (
            sa.select(table.c.item_id).where(
                in_stream(table, stream), table.c.item_id > last, *_made_by(table, run_id, since)
            )
            for table in (scores, failures)
        )
        return sa.union(*parts).order_by("item_id").limit(size)
    stored = sa.or_(
        *(
            sa.exists().where(is_same_item(table, items), *_made_by(table, None, since)).correlate(items)
            for table in (scores, failures)
        )
    )
    return (
        sa.select(items.c.item_id)
        .where(in_stream(items, stream), items.c.item_id > last, stored)
        .order_by(items.c.item_id)
        .limit(size)
    )


def _read_page(
    connection: sa.Connection, stream: Stream, ids: Sequence[str], run_id: str | None, since: datetime | None
) -> list[StoredResult]:
    """What is stored of these items, or what that run stored, or what was stored since."""
    found = rows_by_item(connection, items, stream, ids)
    decided = rows_by_item(connection, decisions, stream, ids)
    scored = rows_by_item(connection, scores, stream, ids, *_made_by(scores, run_id, since))
    failed = rows_by_item(connection, failures, stream, ids, *_made_by(failures, run_id, since))
    settled = scored if run_id is None and since is None else rows_by_item(connection, scores, stream, ids)
    results = []
    for each in ids:
        standing = failed.get(each, []) if run_id else standing_failures(failed.get(each, []), settled.get(each, []))
        if each in scored or standing:
            results.append(_stored_result(found[each][0], decided[each][0], scored.get(each, []), standing))
    return results


def _stored_result(item: Row, decision: Row, scored: list[Row], failed: list[Row]) -> StoredResult:
    return StoredResult(
        item=read_item(item),
        decision=read_decision(decision),
        scores=tuple(read_score(row) for row in scored),
        failures=tuple(read_failure(row) for row in failed),
        scored_at=max([row.scored_at for row in scored] + [row.failed_at for row in failed]),
    )


def _deviation(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
