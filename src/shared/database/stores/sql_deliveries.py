"""`Deliveries` on a database: each one processed once, however many workers receive its copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from shared.core.state.webhook_deliveries import Claimed, Delivery
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks
from shared.database.schema.store_tables import TO_TELL
from shared.database.schema.store_tables import deliveries as table
from shared.database.stores.sql_prompt_generations import raise_all

_PRUNED = 1000
"""Rows deleted by one transaction: a delivery that arrives meanwhile waits for no more."""


class SqlDeliveries:
    """`Deliveries` on `database`. Every method raises `StoreError` when the database cannot be read or written;
    nothing is stored and no generation raised then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, batch: Sequence[Delivery], channels: Sequence[str], at: datetime) -> list[bool]:
        first = {each.id: place for place, each in reversed(list(enumerate(batch)))}
        # by id, so that two who store the same ones never wait for each other
        rows = [_row(batch[first[each]], channels, at) for each in sorted(first)]
        new: set[str] = set()
        with self._database.write() as connection:
            insert = build_insert(connection, table).on_conflict_do_nothing().returning(table.c.id)
            for part in chunks(rows):
                new.update(connection.execute(insert, part).scalars())
            raise_all(connection, Counter(batch[first[each]].prompt for each in new))
        return [each.id in new and first[each.id] == place for place, each in enumerate(batch)]

    def claim(self, at: datetime, lease: timedelta, most: int) -> list[Claimed]:
        due = sa.select(table.c.id).where(TO_TELL, table.c.next_at <= at).order_by(table.c.next_at).limit(most)
        taken = (
            sa.update(table)
            .where(table.c.id.in_(due.with_for_update(skip_locked=True)))
            .values(next_at=at + lease, tries=table.c.tries + 1)
            .returning(table)
        )
        if not self._any(due):
            return []  # without a transaction that writes: idle workers are in nobody's way
        with self._database.write() as connection:
            return [_claimed_delivery(row) for row in connection.execute(taken)]

    def settle(self, claimed: Claimed, left: Sequence[str], again: datetime | None) -> None:
        state = ("waiting" if again else "failed") if left else "done"
        values: dict[str, Any] = {"state": state, "channels": list(left), "next_at": again if left else None}
        mine = sa.and_(table.c.id == claimed.delivery.id, TO_TELL, table.c.tries == claimed.tries)
        with self._database.write() as connection:
            connection.execute(sa.update(table).where(mine).values(values | ({} if left else {"body": None})))

    def prune(self, before: datetime) -> int:
        old = sa.select(table.c.id).where(table.c.received_at < before, sa.not_(TO_TELL)).limit(_PRUNED)
        forgotten = 0
        while self._any(old):
            with self._database.write() as connection:
                forgotten += connection.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount
        return forgotten

    def counts(self) -> Mapping[str, int]:
        query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
        with self._database.read() as connection:
            found = {state: count for state, count in connection.execute(query)}
        return {"done": 0, "waiting": 0, "failed": 0} | found

    def _any(self, query: sa.Select[tuple[str]]) -> bool:
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None


def _row(delivery: Delivery, channels: Sequence[str], at: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {"id": delivery.id, "prompt": delivery.prompt, "action": delivery.action}
    row |= {"version": delivery.version, "received_at": at, "channels": list(channels), "tries": 0}
    if channels:
        return row | {"state": "waiting", "next_at": at, "body": delivery.body}
    return row | {"state": "done", "next_at": None, "body": None}


def _claimed_delivery(row: sa.Row[Any]) -> Claimed:
    delivery = Delivery(row.id, row.prompt, row.action, row.version, row.body)
    return Claimed(delivery, tuple(row.channels), row.tries)
