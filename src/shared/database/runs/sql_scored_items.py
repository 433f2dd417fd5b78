"""`ScoredItemsStore` on a database: the marks are the decisions' `marked_at`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from shared.core.results import Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks, in_stream, key, known_ids
from shared.database.runs.conditions import is_same_item
from shared.database.runs.sql_aggregates import forget_aggregates
from shared.database.schema.tables import decisions, failures, items, outbox, scores


class SqlScoredItems:
    """`ScoredItemsStore` on `database`. Ids may be any valid Unicode text. Every method raises `StoreError` when the
    database cannot be read or written; nothing is marked or forgotten then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def unseen(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        ids = dict.fromkeys(item_ids)
        with self._database.read() as connection:
            marked = known_ids(connection, decisions, stream, ids, decisions.c.marked_at.is_not(None))
        return [each for each in ids if each not in marked]

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Mark items as scored at `at`; durable on return, whole or not at all. A first mark stays."""
        blank = {"run_id": "", "drawn": True, "probability": None, "strategy": "", "stratum": "", "attempts": 0}
        rows = (
            {**key(stream, each), **blank, "decided_at": at, "state": "published", "marked_at": at}
            for each in dict.fromkeys(item_ids)
        )
        with self._database.write("marks") as connection:
            insert = build_insert(connection, decisions)
            upsert = insert.on_conflict_do_update(
                index_elements=list(decisions.primary_key.columns),
                set_={"state": "published", "marked_at": insert.excluded.marked_at},
                where=decisions.c.marked_at.is_(None),
            )
            for part in chunks(rows):
                connection.execute(upsert, part)

    def clear(self, stream: Stream | None = None) -> int:
        """Forget the marked items of a stream, or of all, with what was stored about them: they count as new.

        Their payloads, decisions, scores, failures and messages go; runs stay, and so do items not marked yet and
        items that no draw chose. Returns how many items were forgotten.
        """
        marked = decisions.c.marked_at.is_not(None)
        mine = marked if stream is None else sa.and_(in_stream(decisions, stream), marked)
        with self._database.write("marks") as connection:
            for table in (outbox, failures, scores, items):
                connection.execute(sa.delete(table).where(sa.exists().where(is_same_item(decisions, table), mine)))
            forget_aggregates(connection, stream)
            return connection.execute(sa.delete(decisions).where(mine)).rowcount

    def stats(self) -> dict[Stream, int]:
        columns = (decisions.c.source_key, decisions.c.monitor_key)
        query = sa.select(*columns, sa.func.count()).where(decisions.c.marked_at.is_not(None)).group_by(*columns)
        with self._database.read() as connection:
            return {Stream(source, monitor): count for source, monitor, count in connection.execute(query)}
