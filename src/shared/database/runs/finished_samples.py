"""Draws that several runs may have scored: which are finished, what came of them, and who reports it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from shared.core.results import Stream
from shared.core.state.claims import DrawResult
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, decision_of, failure_of, of, rows_by_item, score_of
from shared.database.runs.run_reader import PAGE, newest_scores, standing_failures, untried
from shared.database.schema.tables import decisions, failures, scores
from shared.database.schema.worker_tables import draws, workers


def finished_draws(database: Database, stream: Stream, wanted: Iterable[str], by: str) -> dict[str, int]:
    """Those of these draws of which every item was tried and that no run has reported, with how many they drew. Of
    others too when no worker but `by` is there: who had them was killed before it could report them."""
    names = list(wanted)
    open_ones = sa.select(decisions.c.run_id).where(of(decisions, stream), untried()).distinct()
    others = sa.select(workers.c.worker).where(of(workers, stream), workers.c.worker != by)
    mine = sa.or_(draws.c.run_id.in_(names), sa.not_(others.exists()))
    query = sa.select(draws.c.run_id, draws.c.drawn).where(of(draws, stream), mine, draws.c.reported_by.is_(None))
    with database.read() as connection:
        unfinished = set(connection.scalars(open_ones))
        return {name: size for name, size in connection.execute(query) if name not in unfinished}


def results_of(database: Database, stream: Stream, wanted: Iterable[str]) -> Iterator[DrawResult]:
    """All that was tried of these draws, by item id. Looks at every decision of the stream once."""
    names = list(wanted)
    tried = sa.and_(of(decisions, stream), decisions.c.run_id.in_(names), decisions.c.drawn, sa.not_(untried()))
    last = ""
    while names:
        query = sa.select(decisions).where(tried, decisions.c.item_id > last)
        with database.read() as connection:
            decided = connection.execute(query.order_by(decisions.c.item_id).limit(PAGE)).all()
            ids = [row.item_id for row in decided]
            made = rows_by_item(connection, scores, stream, ids)
            missed = rows_by_item(connection, failures, stream, ids)
        for row in decided:
            yield _result(row, made.get(row.item_id, []), missed.get(row.item_id, []))
        if len(ids) < PAGE:
            return
        last = ids[-1]


def _result(decided: Row, made: list[Row], missed: list[Row]) -> DrawResult:
    return DrawResult(
        decided.run_id,
        decision_of(decided),
        tuple(score_of(row) for row in newest_scores(made)),
        tuple(failure_of(row) for row in standing_failures(missed, made)),
        tuple(decided.not_applicable or ()),
    )


def claim_report(connection: sa.Connection, stream: Stream, wanted: Iterable[str], run_id: str) -> bool:
    """Note that the run reports these draws; False when another has reported one of them."""
    names = sorted(set(wanted))
    mine = sa.and_(of(draws, stream), draws.c.run_id.in_(names))
    rows = connection.execute(sa.select(draws.c.reported_by).where(mine).order_by(draws.c.run_id).with_for_update())
    if any(row.reported_by not in (None, run_id) for row in rows):
        return False
    connection.execute(sa.update(draws).where(mine).values(reported_by=run_id))
    return True
