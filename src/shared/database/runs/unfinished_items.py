"""Statements about items that were drawn and are not finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from shared.core.results import Decision, Stream
from shared.core.state.claims import DrawnItem
from shared.database.engine.row_mapping import chunks, decision_of, item_of, key, known, of, rows_by_item, score_of
from shared.database.runs.run_reader import PAGE, dated, same_item
from shared.database.schema.tables import WAITING, decisions, items, scores

THIN = (
    sa.update(decisions)
    .where(
        *(decisions.c[name] == sa.bindparam(f"of_{name}") for name in ("source_key", "monitor_key", "item_id")),
        decisions.c.state == "drawn",
        decisions.c.attempts == 0,
    )
    .values({name: sa.bindparam(f"new_{name}") for name in ("drawn", "state", "probability", "strategy")})
)


def thin_row(stream: Stream, decision: Decision) -> dict[str, Any]:
    """What `THIN` needs; the run that drew the item stays in its row, for its draw is finished by what follows."""
    changed: dict[str, Any] = {"drawn": decision.drawn, "state": "drawn" if decision.drawn else "undrawn"}
    changed |= {"probability": decision.probability, "strategy": decision.strategy}
    named = {f"of_{name}": value for name, value in key(stream, decision.item_id).items()}
    return named | {f"new_{name}": value for name, value in changed.items()}


def waiting_ids(stream: Stream, max_attempts: int) -> sa.Select[Any]:
    """The ids of unfinished items."""
    return sa.select(decisions.c.item_id).where(
        of(decisions, stream), WAITING, dated(), decisions.c.attempts < max_attempts
    )


def drawn_items(connection: sa.Connection, stream: Stream, ids: Sequence[str]) -> list[DrawnItem]:
    """The unfinished ones of these items, in the order of the ids, each with the scores it has."""
    open_ids = known(connection, decisions, stream, ids, WAITING)
    wanted = [each for each in ids if each in open_ids]
    decided = rows_by_item(connection, decisions, stream, wanted)
    found = rows_by_item(connection, items, stream, wanted)
    have = rows_by_item(connection, scores, stream, wanted)
    return [
        DrawnItem(
            item_of(found[each][0]),
            decision_of(decided[each][0]),
            tuple(score_of(score) for score in have.get(each, ())),
            decided[each][0].attempts,
            decided[each][0].run_id,
        )
        for each in wanted
    ]


def scores_drawn_with(connection: sa.Connection, stream: Stream, ids: Sequence[str]) -> int:
    """How many scores are stored of all items that were drawn by the runs which drew these."""
    draws: set[str] = set()
    for part in chunks(ids):
        mine = sa.select(decisions.c.run_id).where(of(decisions, stream), decisions.c.item_id.in_(part))
        draws.update(connection.execute(mine.distinct()).scalars())
    count = sa.select(sa.func.count()).select_from(scores).join(decisions, same_item(scores, decisions))
    found = 0
    for some in chunks(sorted(draws)):
        found += connection.execute(count.where(of(decisions, stream), decisions.c.run_id.in_(some))).scalar_one()
    return found


ORDER = (decisions.c.decided_at, decisions.c.item_id)
"""Oldest draw first."""


def waiting_rows(stream: Stream) -> sa.Select[Any]:
    """Unfinished items with what was stored of them."""
    return (
        sa.select(decisions, items.c.payload)
        .join(items, same_item(items, decisions))
        .where(of(decisions, stream), WAITING)
    )


def waiting_page(stream: Stream, max_attempts: int, after: tuple[Any, str] | None) -> sa.Select[Any]:
    """A page of unfinished items, after a place in the order (when drawn, id)."""
    query = waiting_rows(stream).where(decisions.c.attempts < max_attempts)
    if after is not None:
        place = [sa.literal(value, column.type) for value, column in zip(after, ORDER, strict=True)]
        query = query.where(sa.tuple_(*ORDER) > sa.tuple_(*place))
    return query.order_by(*ORDER).limit(PAGE)
