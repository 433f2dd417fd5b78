"""Storing what was said of items: state, scores and failures in one transaction, fenced by who has the item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.results import ItemResult, Stream
from shared.database.engine.row_mapping import (
    among,
    chunks,
    failure_row,
    insert_new,
    known,
    of,
    rows_by_item,
    score_rows,
)
from shared.database.runs.worker_leases import now
from shared.database.schema.tables import WAITING, decisions, failures, scores
from shared.database.schema.worker_tables import workers


@dataclass(frozen=True, slots=True)
class Saving:
    """Who stores what for which stream, and when. `by` is a worker, empty for a run that is alone with its stream."""

    stream: Stream
    run_id: str
    at: datetime
    by: str = ""
    published: bool = False


def store(connection: sa.Connection, saving: Saving, results: Sequence[ItemResult]) -> set[str]:
    """Store results; the ids of those that were stored."""
    if not saving.by:
        tried = _attempts(connection, saving.stream, [each.item.id for each in results if each.failures])
        _advance(connection, saving, results, sa.true())
        _insert(connection, saving, results, {each: tries + 1 for each, tries in tried.items()})
        return {each.item.id for each in results}
    if connection.dialect.name != "sqlite":  # whoever takes this worker for dead waits until this is stored
        connection.execute(
            sa.select(workers.c.worker).where(workers.c.worker == saving.by).with_for_update(read=True, key_share=True)
        )
    kept = _advance(connection, saving, results, decisions.c.claimed_by == saving.by)
    lost = [each for each in results if each.item.id not in kept and not each.failures]
    if lost:
        kept |= _late(connection, saving, lost)
    mine = [each for each in results if each.item.id in kept]
    _insert(connection, saving, mine, kept)
    return set(kept)


def _late(connection: sa.Connection, saving: Saving, results: Sequence[ItemResult]) -> dict[str, int]:
    """Advance items that the worker has lost and of which nothing is stored so far; their ids."""
    there = known(connection, scores, saving.stream, (each.item.id for each in results))
    left = {each.item.id: each for each in results if each.item.id not in there}
    free: list[ItemResult] = []
    for part in chunks(left):
        query = sa.select(decisions.c.item_id).where(of(decisions, saving.stream), among(connection, decisions, part))
        locked = query.where(WAITING, decisions.c.attempts == 0).with_for_update(skip_locked=True)
        free += [left[each] for each in connection.scalars(locked)]
    return _advance(connection, saving, free, sa.true())


def _advance(
    connection: sa.Connection, saving: Saving, results: Sequence[ItemResult], mine: sa.ColumnElement[bool]
) -> dict[str, int]:
    """Move the items to the state that their results put them in, those of one outcome together; the ids of those that
    were moved, each with the tries that have failed by now."""
    groups: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for each in results:
        groups.setdefault((bool(each.failures), each.not_applicable), []).append(each.item.id)
    done: dict[str, Any] = {"state": "scored"}
    if saving.published:
        done = {"state": "published", "marked_at": saving.at}
    missed = {"state": "failed", "attempts": decisions.c.attempts + 1, "tried_at": now(connection)}
    moved: dict[str, int] = {}
    for (failed, absent), ids in groups.items():
        for part in chunks(ids):
            where = sa.and_(of(decisions, saving.stream), WAITING, among(connection, decisions, part), mine)
            change = (missed if failed else done) | {"not_applicable": list(absent) or sa.null()}
            update = sa.update(decisions).where(where).values(change)
            rows = connection.execute(update.returning(decisions.c.item_id, decisions.c.attempts))
            moved.update((row.item_id, row.attempts) for row in rows)
    return moved


def _insert(
    connection: sa.Connection, saving: Saving, results: Sequence[ItemResult], attempts: Mapping[str, int]
) -> None:
    for part in chunks(results):
        rows = [row for each in part for row in score_rows(saving.stream, each, saving.run_id, saving.at)]
        insert_new(connection, scores, rows)
    for piece in chunks(_failure_rows(saving, results, attempts)):
        insert_new(connection, failures, piece)


def _failure_rows(
    saving: Saving, results: Iterable[ItemResult], attempts: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for each in results:
        for failure in each.failures:
            yield failure_row(saving.stream, failure, saving.run_id, attempts.get(each.item.id, 1), saving.at)


def _attempts(connection: sa.Connection, stream: Stream, ids: Sequence[str]) -> dict[str, int]:
    found = rows_by_item(connection, decisions, stream, ids)
    return {each: rows[0].attempts for each, rows in found.items()}
