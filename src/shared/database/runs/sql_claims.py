"""`Claims` on a database: waiting items are given to workers in pages, each item to one worker at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from shared.core.state.claims import DrawnItem
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, among, chunks, decision_of, item_of, of, rows_by_item, score_of
from shared.database.runs.run_reader import dated
from shared.database.runs.unfinished_items import ORDER, waiting_rows
from shared.database.runs.worker_leases import Worker, bury, enrol
from shared.database.schema.tables import WAITING, decisions, scores


class SqlClaims:
    """What one worker takes of its stream's waiting items. On Postgres rows that another worker is just taking are
    stepped over (`FOR UPDATE SKIP LOCKED`); on SQLite writers take turns.
    """

    def __init__(self, database: Database, worker: Worker, max_attempts: int) -> None:
        self._database, self._worker, self._most = database, worker, max_attempts
        self._after: tuple[Any, str] | None = None

    @property
    def worker(self) -> str:
        """Who takes them."""
        return self._worker.name

    def next(self, size: int) -> list[DrawnItem]:
        """Up to `size` items, oldest draw first. Behind the last one it looks from the beginning once more, for what
        dead workers have left."""
        page = self._page(size)
        if not page and (bury(self._database, self._worker) or self._after is not None):
            self._after = None
            page = self._page(size)
        return page

    def free(self) -> list[str]:
        """The ids of all waiting items that nobody has."""
        bury(self._database, self._worker)
        query = sa.select(decisions.c.item_id).where(of(decisions, self._worker.stream), dated(), self._free())
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def take(self, item_ids: Sequence[str]) -> list[DrawnItem]:
        """Those of these items that wait and that nobody has, in the order of the ids."""
        found: dict[str, DrawnItem] = {}
        with self._database.write() as connection:
            enrol(connection, self._worker)
            for part in chunks(item_ids):
                query = waiting_rows(self._worker.stream).where(self._free(), among(connection, decisions, part))
                rows = connection.execute(_locked(query)).all()
                found |= {each.item.id: each for each in self._taken(connection, rows)}
        return [found[each] for each in item_ids if each in found]

    def _page(self, size: int) -> list[DrawnItem]:
        query = waiting_rows(self._worker.stream).where(self._free())
        if self._after is not None:
            place = [sa.literal(value, column.type) for value, column in zip(self._after, ORDER, strict=True)]
            query = query.where(sa.tuple_(*ORDER) > sa.tuple_(*place))
        with self._database.write() as connection:
            enrol(connection, self._worker)
            rows = connection.execute(_locked(query.order_by(*ORDER).limit(size))).all()
            if rows:
                self._after = (rows[-1].decided_at, rows[-1].item_id)
            return self._taken(connection, rows)

    def _free(self) -> sa.ColumnElement[bool]:
        """Waiting, nobody's, not tried too often, and not failed since this worker began."""
        tried = sa.or_(decisions.c.tried_at.is_(None), decisions.c.tried_at < self._worker.since)
        return sa.and_(WAITING, decisions.c.claimed_by.is_(None), decisions.c.attempts < self._most, tried)

    def _taken(self, connection: sa.Connection, rows: Sequence[Row]) -> list[DrawnItem]:
        """Write the worker's name on these rows."""
        stream = self._worker.stream
        for part in chunks(row.item_id for row in rows):
            mine = sa.and_(of(decisions, stream), among(connection, decisions, part))
            connection.execute(sa.update(decisions).where(mine).values(claimed_by=self._worker.name))
        again = [row.item_id for row in rows if row.attempts]
        have = rows_by_item(connection, scores, stream, again) if again else {}
        return [
            DrawnItem(
                item_of(row),
                decision_of(row),
                tuple(score_of(score) for score in have.get(row.item_id, ())),
                row.attempts,
                row.run_id,
            )
            for row in rows
        ]


def _locked(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.with_for_update(of=decisions, skip_locked=True)
