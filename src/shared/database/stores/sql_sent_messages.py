"""`SentMessages` on a database."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from shared.core.state.sent_messages import SentMessage
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert
from shared.database.schema.store_tables import sent_messages as table


class SqlSentMessages:
    """`SentMessages` on `database`. Every method raises `StoreError` when the database cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, place: str, notification: str, now: datetime) -> SentMessage | None:
        key = {"place": place, "notification": notification}
        with self._database.write() as connection:
            insert = build_insert(connection, table).values(**key, begun_at=now, channel="", ts="")
            begun = connection.execute(insert.on_conflict_do_nothing().returning(table.c.ts)).first()
            if begun is not None:
                return None
            query = sa.select(table.c.begun_at, table.c.channel, table.c.ts)
            row = connection.execute(query.where(table.c.place == place, table.c.notification == notification)).one()
        return SentMessage(row.begun_at, row.channel, row.ts)

    def put(self, place: str, notification: str, sent: SentMessage) -> None:
        values = sent._asdict()
        with self._database.write() as connection:
            insert = build_insert(connection, table).values(place=place, notification=notification, **values)
            connection.execute(insert.on_conflict_do_update(index_elements=["place", "notification"], set_=values))
