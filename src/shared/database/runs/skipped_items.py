"""What was left out without a decision, or before it was scored: one row for each item and reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.results import Stream
from shared.core.state.item_history import PassedOver
from shared.database.engine.row_mapping import chunks, insert_new, inserting, key, of
from shared.database.runs.run_reader import dated
from shared.database.schema.tables import WAITING, decisions
from shared.database.schema.worker_tables import passed_over


def note(connection: sa.Connection, stream: Stream, run_id: str, passed: Sequence[PassedOver], at: datetime) -> None:
    """Store what is new of it: a window that is read again writes nothing."""
    rows = (
        {**key(stream, each.item_id), "reason": each.reason, "run_id": run_id, "times": each.times}
        | {"detail": each.detail, "at": at}
        for each in passed
    )
    for part in chunks(rows):
        insert_new(connection, passed_over, part)


def note_waiting(connection: sa.Connection, stream: Stream, run_id: str, by: str, at: datetime) -> None:
    """Note of all that waits for its first try, and that no other worker has, that this run's budget is spent."""
    mine = sa.or_(decisions.c.claimed_by.is_(None), decisions.c.claimed_by == by)
    first = sa.and_(of(decisions, stream), WAITING, dated(), decisions.c.state == "drawn", mine)
    names = ["source_key", "monitor_key", "item_id"]
    table = passed_over.c
    values = [
        sa.literal("over_budget", table.reason.type),
        sa.literal(run_id, table.run_id.type),
        sa.literal(1, sa.Integer),
        sa.literal("", table.detail.type),
        sa.literal(at, table.at.type),
    ]
    chosen = sa.select(*(decisions.c[name] for name in names), *values).where(first)
    insert: Any = inserting(connection, passed_over)
    insert = insert.from_select([*names, "reason", "run_id", "times", "detail", "at"], chosen)
    again = {"run_id": insert.excluded.run_id, "at": insert.excluded.at, "times": table.times + 1}
    connection.execute(insert.on_conflict_do_update(index_elements=[*names, "reason"], set_=again))


def finish_elsewhere(connection: sa.Connection, stream: Stream, ids: Sequence[str], at: datetime) -> None:
    """Finish waiting items that another database's run has marked."""
    for part in chunks(ids):
        mine = sa.and_(of(decisions, stream), WAITING, decisions.c.item_id.in_(part))
        connection.execute(sa.update(decisions).where(mine).values(state="published", marked_at=at))
