"""`ResultStore` on a database: state, scores and failures in one transaction, fenced by which worker has the item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from shared.core.clock import Clock
from shared.core.results import ItemResult, Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import (
    Row,
    chunks,
    failure_row,
    has_id_in,
    in_stream,
    insert_new,
    known_ids,
    rows_by_item,
    score_rows,
)
from shared.database.engine.table_statistics import analyze_grown
from shared.database.runs.conditions import hint_open_index
from shared.database.runs.sql_aggregates import Saving, store_aggregates
from shared.database.runs.worker_leases import server_time
from shared.database.schema.tables import WAITING, decisions, failures, scores, workers


class _Decided(NamedTuple):
    """Decisions of items by id: of those that the results have moved, as they are now, and of those that were finished
    before."""

    moved: Mapping[str, Row]
    finished: Mapping[str, Row]

    def find(self, item_id: str) -> Row | None:
        """The decision about an item."""
        return self.moved.get(item_id) or self.finished.get(item_id)

    def count_tries(self, item_id: str) -> int:
        """Which try of the item this is."""
        row = self.find(item_id)
        before = 0 if row is None else int(row.attempts) - (item_id in self.moved)
        return before + 1

    def is_first_try(self, result: ItemResult) -> bool:
        """Whether nothing was stored of the item before."""
        row = self.moved.get(result.item.id)
        return row is not None and row.attempts == bool(result.failures)


class SqlResults:
    """`ResultStore` on `database`; `clock` dates what is stored. Every method raises `StoreError` when the database
    cannot be written; what was stored before stays."""

    def __init__(self, database: Database, clock: Clock, group_by: tuple[str, ...] = ()) -> None:
        self._database, self._clock, self._group_by = database, clock, group_by
        self._stored = 0  # scores since statistics were made

    def save_results(
        self, run_id: str, stream: Stream, results: Sequence[ItemResult], worker: str = "", published: bool = False
    ) -> set[str]:
        """Store scores and failures in one transaction; an item without failures is finished by it, or `published`.

        A score once stored stays as it is. A failure counts one attempt. Published items stay published. What a worker
        has lost is stored only while nothing else of it is. The ids of the items that were stored.
        """
        saving = Saving(stream, run_id, self._clock(), worker, published, self._group_by)
        self._stored += sum(len(each.scores) for each in results)
        with self._database.write() as connection:
            return _save_claimed(connection, saving, results) if worker else _save_all(connection, saving, results)

    def give_up(self, stream: Stream, max_attempts: int, worker: str = "", hopeless: Sequence[str] = ()) -> int:
        analyze_grown(self._database, self._stored, "scores", "decisions")
        self._stored = 0
        with self._database.write() as connection:
            ended = connection.execute(finish_exhausted(stream, max_attempts, worker)).rowcount
            for part in chunks(hopeless):
                failed = has_id_in(connection, decisions, part)
                ended += connection.execute(finish_exhausted(stream, 1, worker).where(failed)).rowcount
            return ended


def finish_exhausted(stream: Stream, max_attempts: int, worker: str = "") -> sa.Update:
    """The statement that finishes items that failed too often, except those of other workers."""
    free = sa.or_(decisions.c.claimed_by.is_(None), decisions.c.claimed_by == worker)
    failed = sa.and_(
        in_stream(decisions, stream), WAITING, hint_open_index(), decisions.c.attempts >= max_attempts, free
    )
    return sa.update(decisions).where(failed).values(state="scored")


def _save_all(connection: sa.Connection, saving: Saving, results: Sequence[ItemResult]) -> set[str]:
    moved = _advance(connection, saving, results, sa.true())
    left = [each.item.id for each in results if each.item.id not in moved]
    finished = {each: rows[0] for each, rows in rows_by_item(connection, decisions, saving.stream, left).items()}
    _insert(connection, saving, results, _Decided(moved, finished))
    return {each.item.id for each in results}


def _save_claimed(connection: sa.Connection, saving: Saving, results: Sequence[ItemResult]) -> set[str]:
    if connection.dialect.name != "sqlite":  # whoever takes this worker for dead waits until this is stored
        mine = sa.select(workers.c.worker).where(workers.c.worker == saving.worker)
        connection.execute(mine.with_for_update(read=True, key_share=True))
    kept = _advance(connection, saving, results, decisions.c.claimed_by == saving.worker)
    lost = [each for each in results if each.item.id not in kept and not each.failures]
    if lost:
        kept |= _advance_lost(connection, saving, lost)
    _insert(connection, saving, [each for each in results if each.item.id in kept], _Decided(kept, {}))
    return set(kept)


def _advance_lost(connection: sa.Connection, saving: Saving, results: Sequence[ItemResult]) -> dict[str, Row]:
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
    connection: sa.Connection, saving: Saving, results: Sequence[ItemResult], mine: sa.ColumnElement[bool]
) -> dict[str, Row]:
    """Move the items to the state that their results put them in, those of one outcome together; the decisions of those
    that were moved."""
    groups: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for each in results:
        groups.setdefault((bool(each.failures), each.not_applicable), []).append(each.item.id)
    done: dict[str, Any] = {"state": "scored"}
    if saving.published:
        done = {"state": "published", "marked_at": saving.at}
    missed = {"state": "failed", "attempts": decisions.c.attempts + 1, "tried_at": server_time(connection)}
    moved: dict[str, Row] = {}
    d = decisions.c
    for (failed, absent), ids in groups.items():
        for part in chunks(ids):
            where = sa.and_(in_stream(decisions, saving.stream), WAITING, has_id_in(connection, decisions, part), mine)
            change = (missed if failed else done) | {"not_applicable": list(absent) or sa.null()}
            update = sa.update(decisions).where(where).values(change)
            rows = connection.execute(update.returning(d.item_id, d.attempts, d.probability, d.strategy, d.stratum))
            moved.update((row.item_id, row) for row in rows)
    return moved


def _insert(connection: sa.Connection, saving: Saving, results: Sequence[ItemResult], decided: _Decided) -> None:
    new = _drop_stored_scores(connection, saving, results, decided)
    for part in chunks(new):
        rows = [row for each in part for row in score_rows(saving.stream, each, saving.run_id, saving.at)]
        insert_new(connection, scores, rows)
    for piece in chunks(_failure_rows(saving, results, decided)):
        insert_new(connection, failures, piece)
    counted = [(each, row) for each in new if (row := decided.find(each.item.id)) is not None]
    store_aggregates(connection, saving, counted)


def _drop_stored_scores(
    connection: sa.Connection, saving: Saving, results: Sequence[ItemResult], decided: _Decided
) -> list[ItemResult]:
    """The results without the scores that are stored already: those of items that were tried before may be."""
    again = [each.item.id for each in results if not decided.is_first_try(each)]
    stored = {
        each: {(row.label, row.metric_digest) for row in rows}
        for each, rows in rows_by_item(connection, scores, saving.stream, again).items()
    }

    def drop(result: ItemResult) -> ItemResult:
        known = stored.get(result.item.id)
        if known is None:
            return result
        new = (each for each in result.scores if (each.label, each.metric.digest) not in known)
        return result._replace(scores=tuple(new))

    return [drop(each) for each in results]


def _failure_rows(saving: Saving, results: Iterable[ItemResult], decided: _Decided) -> Iterator[dict[str, Any]]:
    for each in results:
        for failure in each.failures:
            yield failure_row(saving.stream, failure, saving.run_id, decided.count_tries(each.item.id), saving.at)
