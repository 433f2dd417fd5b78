"""`ClaimStore` and `Claims` on a database: waiting items go to workers in pages, each to one at a time."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock
from shared.core.records import DatasetItem
from shared.core.results import Stream
from shared.core.state.claims import SampledItem
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, chunks, has_id_in, in_stream, read_item, rows_by_item
from shared.database.runs.conditions import ORDER, hint_open_index, sampled_item
from shared.database.runs.process_locks import lock_stream, lock_stream_beside
from shared.database.runs.worker_leases import Worker, free_dead_claims, join_stream, renew_lease
from shared.database.schema.tables import WAITING, decisions, items, scores

_d = decisions.c
_COLUMNS = (_d.item_id, _d.drawn, _d.probability, _d.strategy, _d.stratum, _d.decided_at, _d.attempts, _d.run_id)


class SqlClaimStore:
    """`ClaimStore` on `database`; `clock` dates the lock of a stream. A killed process's claims and lock are freed.

    What is processed may be in a file of its own, `scored_file`, that runs with other databases share: a stream is
    locked beside it, too.
    """

    def __init__(self, database: Database, clock: Clock, scored_file: Path | None = None) -> None:
        self._database, self._clock, self._scored_file = database, clock, scored_file

    @contextmanager
    def work_on(self, stream: Stream, run_id: str, max_attempts: int) -> Iterator[SqlClaims]:
        with join_stream(self._database, stream, run_id) as worker:
            yield SqlClaims(self._database, worker, max_attempts)

    @contextmanager
    def lock(self, stream: Stream, wait: float) -> Iterator[None]:
        with ExitStack() as held:
            if self._scored_file is not None:
                held.enter_context(lock_stream_beside(self._scored_file, stream, wait, self._clock))
            held.enter_context(lock_stream(self._database, stream, wait, self._clock))
            yield


class SqlClaims:
    """What one worker takes of its stream's waiting items. On Postgres rows that another worker is just taking are
    stepped over (`FOR UPDATE SKIP LOCKED`); on SQLite writers take turns.
    """

    def __init__(self, database: Database, worker: Worker, max_attempts: int) -> None:
        self._database, self._worker, self._most = database, worker, max_attempts
        self._after: tuple[datetime, str] | None = None
        self._at_hand: MutableMapping[str, DatasetItem] = {}

    @property
    def worker(self) -> str:
        return self._worker.name

    def remember(self, items: MutableMapping[str, DatasetItem]) -> None:
        self._at_hand = items

    def take_next(self, size: int) -> list[SampledItem]:
        """Up to `size` items, oldest draw first. Behind the last one it looks from the beginning once more, for what
        dead workers have left."""
        page = self._page(size)
        if not page and (free_dead_claims(self._database, self._worker) or self._after is not None):
            self._after = None
            page = self._page(size)
        return page

    def free_ids(self) -> list[str]:
        free_dead_claims(self._database, self._worker)
        free = sa.and_(in_stream(decisions, self._worker.stream), _is_claimable(self._worker, self._most))
        query = sa.select(decisions.c.item_id).where(free, hint_open_index())
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def take(self, item_ids: Sequence[str]) -> list[SampledItem]:
        found: dict[str, SampledItem] = {}
        with self._database.write() as connection:
            renew_lease(connection, self._worker)
            for part in chunks(item_ids):
                query = claimable_items(self._worker, self._most).where(has_id_in(connection, decisions, part))
                rows = connection.execute(_lock_rows(query)).all()
                found |= {each.item.id: each for each in self._write_owner(connection, rows)}
        return [found[each] for each in item_ids if each in found]

    def _page(self, size: int) -> list[SampledItem]:
        query = claimable_items(self._worker, self._most, self._after).order_by(*ORDER).limit(size)
        with self._database.write() as connection:
            renew_lease(connection, self._worker)
            rows = connection.execute(_lock_rows(query)).all()
            if rows:
                self._after = (rows[-1].decided_at, rows[-1].item_id)
            return self._write_owner(connection, rows)

    def _write_owner(self, connection: sa.Connection, rows: Sequence[Row]) -> list[SampledItem]:
        """Write the worker's name on these rows; the items are read apart from them, by their ids: a planner that knows
        nothing of the stream may read all of its items for each row of a join."""
        stream = self._worker.stream
        for part in chunks(row.item_id for row in rows):
            mine = sa.and_(in_stream(decisions, stream), has_id_in(connection, decisions, part))
            connection.execute(sa.update(decisions).where(mine).values(claimed_by=self._worker.name))
        own = self._worker.run_id  # what other runs have sampled may be another version of the item
        fresh = [row.item_id for row in rows if row.run_id == own and row.item_id in self._at_hand]
        found = {each: self._at_hand.pop(each) for each in fresh}
        left = [row.item_id for row in rows if row.item_id not in found]
        for item_id, (stored,) in rows_by_item(connection, items, stream, left).items():
            found[item_id] = read_item(stored)
        again = [row.item_id for row in rows if row.attempts]
        have = rows_by_item(connection, scores, stream, again) if again else {}
        return [sampled_item(found[row.item_id], row, have.get(row.item_id, ())) for row in rows]


def _lock_rows(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.with_for_update(skip_locked=True)


def claimable_items(worker: Worker, max_attempts: int, after: tuple[datetime, str] | None = None) -> sa.Select[Any]:
    """The decisions about items that a worker may claim, after a place in `ORDER`."""
    query = sa.select(*_COLUMNS).where(in_stream(decisions, worker.stream), _is_claimable(worker, max_attempts))
    if after is None:
        return query
    place = [sa.literal(value, column.type) for value, column in zip(after, ORDER, strict=True)]
    return query.where(sa.tuple_(*ORDER) > sa.tuple_(*place))


def _is_claimable(worker: Worker, max_attempts: int) -> sa.ColumnElement[bool]:
    """Waiting, nobody's, not tried too often, and not failed since this worker began."""
    tried = sa.or_(decisions.c.tried_at.is_(None), decisions.c.tried_at < worker.since)
    return sa.and_(WAITING, decisions.c.claimed_by.is_(None), decisions.c.attempts < max_attempts, tried)
