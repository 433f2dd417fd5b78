"""Statements about sampled items that are not finished, and the record made of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from shared.core.results import Decision, Stream
from shared.core.state.claims import SampledItem
from shared.database.engine.row_mapping import Row, in_stream, key, read_decision, read_item, read_score
from shared.database.runs.conditions import is_same_item
from shared.database.schema.tables import WAITING, decisions, items

THIN = (
    sa.update(decisions)
    .where(
        *(decisions.c[name] == sa.bindparam(f"of_{name}") for name in ("source_key", "monitor_key", "item_id")),
        decisions.c.state == "drawn",
        decisions.c.attempts == 0,
    )
    .values({name: sa.bindparam(f"new_{name}") for name in ("drawn", "state", "probability", "strategy")})
)

ORDER = (decisions.c.decided_at, decisions.c.item_id)
"""Oldest sample first."""


def thin_row(stream: Stream, decision: Decision) -> dict[str, Any]:
    """The parameters of `THIN`; the run that sampled the item stays in its row, and its sample is finished later."""
    changed: dict[str, Any] = {"drawn": decision.drawn, "state": "drawn" if decision.drawn else "undrawn"}
    changed |= {"probability": decision.probability, "strategy": decision.strategy}
    named = {f"of_{name}": value for name, value in key(stream, decision.item_id).items()}
    return named | {f"new_{name}": value for name, value in changed.items()}


def waiting_rows(stream: Stream) -> sa.Select[Any]:
    """Unfinished items with what was stored of them."""
    return (
        sa.select(decisions, items.c.payload)
        .join(items, is_same_item(items, decisions))
        .where(in_stream(decisions, stream), WAITING)
    )


def sampled_item(item: Row, decided: Row, scored: Iterable[Row]) -> SampledItem:
    """One unfinished item, with the scores that it has."""
    have = tuple(read_score(row) for row in scored)
    return SampledItem(read_item(item), read_decision(decided), have, decided.attempts, decided.run_id)
