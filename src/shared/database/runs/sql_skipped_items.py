"""`SkippedItemsStore` on a database: one row for each item and reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock
from shared.core.results import Stream
from shared.core.state.item_history import SkippedItem
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks, in_stream, insert_new, key, known_ids
from shared.database.engine.unsampled_ids import has_unsampled
from shared.database.runs.conditions import is_untried
from shared.database.schema.tables import WAITING, decisions, passed_over


class SqlSkippedItems:
    """`SkippedItemsStore` on `database`; `clock` dates what is stored. Every method raises `StoreError` when the
    database cannot be written."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def save_skipped(self, run_id: str, stream: Stream, skipped: Sequence[SkippedItem]) -> None:
        """Store items that were skipped without a decision, in one transaction; what is stored already stays: a window
        that is read again writes nothing."""
        with self._database.write() as connection:
            _insert_skipped(connection, run_id, stream, skipped, self._clock())

    def find_broken(self, stream: Stream, marks: Sequence[str]) -> set[str]:
        anything = sa.select(sa.literal(1)).where(in_stream(decisions, stream)).limit(1)
        with self._database.read() as connection:
            if connection.scalar(anything) is None and not has_unsampled(connection, stream):
                return set()
            return known_ids(connection, passed_over, stream, marks, passed_over.c.reason == "broken")

    def skip_over_budget(self, run_id: str, stream: Stream, worker: str) -> None:
        mine = sa.or_(decisions.c.claimed_by.is_(None), decisions.c.claimed_by == worker)
        names = ["source_key", "monitor_key", "item_id"]
        table = passed_over.c
        values = [
            sa.literal("over_budget", table.reason.type),
            sa.literal(run_id, table.run_id.type),
            sa.literal(1, sa.Integer),
            sa.literal("", table.detail.type),
            sa.literal(self._clock(), table.at.type),
        ]
        untried = sa.select(*(decisions.c[name] for name in names), *values)
        untried = untried.where(in_stream(decisions, stream), is_untried(), mine)
        with self._database.write() as connection:
            insert: Any = build_insert(connection, passed_over)
            insert = insert.from_select([*names, "reason", "run_id", "times", "detail", "at"], untried)
            again = {"run_id": insert.excluded.run_id, "at": insert.excluded.at, "times": table.times + 1}
            connection.execute(insert.on_conflict_do_update(index_elements=[*names, "reason"], set_=again))

    def finish_elsewhere(self, run_id: str, stream: Stream, item_ids: Sequence[str]) -> None:
        at = self._clock()
        with self._database.write() as connection:
            for part in chunks(item_ids):
                waiting = sa.and_(in_stream(decisions, stream), WAITING, decisions.c.item_id.in_(part))
                connection.execute(sa.update(decisions).where(waiting).values(state="published", marked_at=at))
            _insert_skipped(connection, run_id, stream, [SkippedItem(each, "elsewhere") for each in item_ids], at)


def _insert_skipped(
    connection: sa.Connection, run_id: str, stream: Stream, skipped: Sequence[SkippedItem], at: datetime
) -> None:
    rows = (
        {**key(stream, each.item_id), "reason": each.reason, "run_id": run_id, "times": each.times}
        | {"detail": each.detail, "at": at}
        for each in skipped
    )
    for part in chunks(rows):
        insert_new(connection, passed_over, part)
