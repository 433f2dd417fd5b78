"""Statements about finished items on their way to the sinks, batch by batch."""

from __future__ import annotations

import sqlalchemy as sa

from shared.core.digests import stable_id
from shared.core.results import RunReport, Stream
from shared.database.rows import chunks, of
from shared.database.tables import FINISHED, decisions


def batched(stream: Stream, batch_id: str | None) -> sa.ColumnElement[bool]:
    """Finished items that wait in a batch, or (None) for one."""
    mine = decisions.c.batch_id.is_(None) if batch_id is None else decisions.c.batch_id == batch_id
    return sa.and_(of(decisions, stream), FINISHED, mine)


def open_batch(connection: sa.Connection, stream: Stream) -> tuple[str, list[str]] | None:
    """The batch that a crash left open: its id and items."""
    oldest = sa.select(sa.func.min(decisions.c.batch_id))
    batch_id = connection.scalar(oldest.where(of(decisions, stream), FINISHED, decisions.c.batch_id.is_not(None)))
    if batch_id is None:
        return None
    ids = sa.select(decisions.c.item_id).where(batched(stream, batch_id)).order_by(decisions.c.item_id)
    return batch_id, list(connection.scalars(ids))


def new_batch(connection: sa.Connection, run: RunReport, size: int) -> tuple[str, list[str]]:
    """Give up to `size` finished items, in the order of their ids, to a new batch."""
    free = sa.select(decisions.c.item_id).where(batched(run.stream, None)).order_by(decisions.c.item_id).limit(size)
    ids = list(connection.scalars(free))
    batch_id = stable_id("batch", run.stream, run.run_id, ids)
    for part in chunks(ids):
        where = sa.and_(of(decisions, run.stream), FINISHED, decisions.c.item_id.in_(part))
        connection.execute(sa.update(decisions).where(where).values(batch_id=batch_id))
    return batch_id, ids
