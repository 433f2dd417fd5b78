"""`ResultStore` on a database: state, scores and failures in one transaction, fenced by which worker has the item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock
from shared.core.results import ItemResult, Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import (
    chunks,
    failure_row,
    has_id_in,
    in_stream,
    insert_new,
    known_ids,
    rows_by_item,
    score_rows,
)
from shared.database.runs.conditions import hint_open_index
from shared.database.runs.worker_leases import server_time
from shared.database.schema.tables import WAITING, decisions, failures, scores, workers


@dataclass(frozen=True, slots=True)
class _Saving:
    """What is stored with every result. `worker` is empty for a run that is alone with its stream."""

    stream: Stream
    run_id: str
    at: datetime
    worker: str
    published: bool


class SqlResults:
    """`ResultStore` on `database`; `clock` dates what is stored. Every method raises `StoreError` when the database
    cannot be written; what was stored before stays."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def save_results(
        self, run_id: str, stream: Stream, results: Sequence[ItemResult], worker: str = "", published: bool = False
    ) -> set[str]:
        """Store scores and failures in one transaction; an item without failures is finished by it, or `published`.

        A score once stored stays as it is. A failure counts one attempt. Published items stay published. What a worker
        has lost is stored only while nothing else of it is. The ids of the items that were stored.
        """
        saving = _Saving(stream, run_id, self._clock(), worker, published)
        with self._database.write() as connection:
            return _save_claimed(connection, saving, results) if worker else _save_all(connection, saving, results)

    def give_up(self, stream: Stream, max_attempts: int, worker: str = "") -> int:
        with self._database.write() as connection:
            return connection.execute(finish_exhausted(stream, max_attempts, worker)).rowcount


def finish_exhausted(stream: Stream, max_attempts: int, worker: str = "") -> sa.Update:
    """The statement that finishes items that failed too often, except those of other workers."""
    free = sa.or_(decisions.c.claimed_by.is_(None), decisions.c.claimed_by == worker)
    failed = sa.and_(
        in_stream(decisions, stream), WAITING, hint_open_index(), decisions.c.attempts >= max_attempts, free
    )
    return sa.update(decisions).where(failed).values(state="scored")


def _save_all(connection: sa.Connection, saving: _Saving, results: Sequence[ItemResult]) -> set[str]:
    tried = rows_by_item(connection, decisions, saving.stream, [each.item.id for each in results if each.failures])
    _advance(connection, saving, results, sa.true())
    _insert(connection, saving, results, {each: rows[0].attempts + 1 for each, rows in tried.items()})
    return {each.item.id for each in results}


def _save_claimed(connection: sa.Connection, saving: _Saving, results: Sequence[ItemResult]) -> set[str]:
    if connection.dialect.name != "sqlite":  # whoever takes this worker for dead waits until this is stored
        mine = sa.select(workers.c.worker).where(workers.c.worker == saving.worker)
        connection.execute(mine.with_for_update(read=True, key_share=True))
    kept = _advance(connection, saving, results, decisions.c.claimed_by == saving.worker)
    lost = [each for each in results if each.item.id not in kept and not each.failures]
    if lost:
        kept |= _advance_lost(connection, saving, lost)
    _insert(connection, saving, [each for each in results if each.item.id in kept], kept)
    return set(kept)


def _advance_lost(connection: sa.Connection, saving: _Saving, results: Sequence[ItemResult]) -> dict[str, int]:
    """Advance items that the worker has lost and of which nothing is stored so far; their ids."""
    there = known_ids(connection, scores, saving.stream, (each.item.id for each in results))
    left = {each.item.id: each for each in results if each.item.id not in there}
    free: list[ItemResult] = []
    for part in chunks(left):
        query = sa.select(decisions.c.item_id).where(
            in_stream(decisions, saving.stream), has_id_in(connection, decisions, part)
        )
        locked = query.where(WAITING, decisions.c.attempts == 0).with_for_update(skip_locked=True)
        free += [left[each] for each in connection.scalars(locked)]
    return _advance(connection, saving, free, sa.true())


def _advance(
    connection: sa.Connection, saving: _Saving, results: Sequence[ItemResult], mine: sa.ColumnElement[bool]
) -> dict[str, int]:
    """Move the items to the state that their results put them in, those of one outcome together; the ids of those that
    were moved, each with the tries that have failed by now."""
    groups: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for each in results:
        groups.setdefault((bool(each.failures), each.not_applicable), []).append(each.item.id)
    done: dict[str, Any] = {"state": "scored"}
    if saving.published:
        done = {"state": "published", "marked_at": saving.at}
    missed = {"state": "failed", "attempts": decisions.c.attempts + 1, "tried_at": server_time(connection)}
    moved: dict[str, int] = {}
    for (failed, absent), ids in groups.items():
        for part in chunks(ids):
            where = sa.and_(in_stream(decisions, saving.stream), WAITING, has_id_in(connection, decisions, part), mine)
            change = (missed if failed else done) | {"not_applicable": list(absent) or sa.null()}
            update = sa.update(decisions).where(where).values(change)
            rows = connection.execute(update.returning(decisions.c.item_id, decisions.c.attempts))
            moved.update((row.item_id, row.attempts) for row in rows)
    return moved


def _insert(
    connection: sa.Connection, saving: _Saving, results: Sequence[ItemResult], attempts: Mapping[str, int]
) -> None:
    for part in chunks(results):
        rows = [row for each in part for row in score_rows(saving.stream, each, saving.run_id, saving.at)]
        insert_new(connection, scores, rows)
    for piece in chunks(_failure_rows(saving, results, attempts)):
        insert_new(connection, failures, piece)


def _failure_rows(
    saving: _Saving, results: Iterable[ItemResult], attempts: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for each in results:
        for failure in each.failures:
            yield failure_row(saving.stream, failure, saving.run_id, attempts.get(each.item.id, 1), saving.at)
