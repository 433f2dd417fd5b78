"""The story of one item, read from the tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from shared.core.results import Stream
from shared.core.state.item_history import (
    VERSION_DIGITS,
    Delivered,
    FailureMade,
    ItemStory,
    PassedOver,
    ScoreMade,
    own_id,
)
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, decision_of, failure_of, item_of, of, rows_by_item, score_of
from shared.database.schema.outbox_tables import outbox
from shared.database.schema.tables import decisions, failures, items, scores
from shared.database.schema.worker_tables import passed_over

NEAR = 500
"""Ids looked at on either side of one that is not there."""


def stories_of(database: Database, stream: Stream, item_id: str) -> list[ItemStory]:
    """What is stored of an item, its versions oldest decision first; empty for one never seen."""
    with database.read() as connection:
        ids = list(connection.scalars(_versions(stream, item_id)))
        ids = [each for each in ids if item_id in (each, own_id(each))]
        decided = rows_by_item(connection, decisions, stream, ids)
        found = rows_by_item(connection, items, stream, ids)
        made = rows_by_item(connection, scores, stream, ids)
        missed = rows_by_item(connection, failures, stream, ids)
        passed = rows_by_item(connection, passed_over, stream, ids)
        batches = [rows[0].batch_id for rows in decided.values() if rows[0].batch_id]
        posted = rows_by_item(connection, outbox, stream, [*ids, *batches])
    stories = [
        _story(
            stream, rows[0], next(iter(found.get(each, ())), None), made.get(each, []), missed.get(each, [])
        )._replace(
            passed=tuple(map(_passed, passed.get(each, ()))),
            delivered=tuple(map(_delivered, (*posted.get(rows[0].batch_id, ()), *posted.get(each, ())))),
        )
        for each, rows in decided.items()
    ]
    return sorted(stories, key=lambda story: (story.decided_at, story.decision.item_id))


def passed_of_item(database: Database, stream: Stream, item_id: str) -> list[PassedOver]:
    """Why an item was left out, oldest first."""
    with database.read() as connection:
        rows = rows_by_item(connection, passed_over, stream, [item_id]).get(item_id, [])
    return [_passed(row) for row in sorted(rows, key=lambda row: row.at)]


def _passed(row: Row) -> PassedOver:
    return PassedOver(row.item_id, row.reason, row.times, row.detail, row.run_id, row.at)


def ids_near(database: Database, stream: Stream, item_id: str) -> list[str]:
    """Up to `NEAR` ids on either side of this one in the order of ids, as their source gave them, each once."""
    before = sa.select(decisions.c.item_id).where(of(decisions, stream), decisions.c.item_id < item_id)
    behind = sa.select(decisions.c.item_id).where(of(decisions, stream), decisions.c.item_id > item_id)
    with database.read() as connection:
        lower = list(connection.scalars(before.order_by(decisions.c.item_id.desc()).limit(NEAR)))
        upper = list(connection.scalars(behind.order_by(decisions.c.item_id).limit(NEAR)))
    return list(dict.fromkeys(own_id(each) for each in (*reversed(lower), *upper)))


def _versions(stream: Stream, item_id: str) -> sa.Select[Any]:
    """Ids that are this one, or this one with the digest of a version behind it."""
    known, head = decisions.c.item_id, f"{item_id}@"
    length = sa.func.length(known) == len(head) + VERSION_DIGITS
    # Between `id@` and `id@g` stand all versions, whatever a database thinks of the order of other letters.
    versions = sa.and_(known >= head, known <= f"{head}g", length)
    return sa.select(known).where(of(decisions, stream), sa.or_(known == item_id, versions))


def _delivered(row: Row) -> Delivered:
    return Delivered(row.sink, row.label, row.state, row.attempts, row.reason, row.next_try_at, row.settled_at)


def _story(stream: Stream, decided: Row, item: Row | None, made: list[Row], missed: list[Row]) -> ItemStory:
    return ItemStory(
        stream=stream,
        decision=decision_of(decided),
        run_id=decided.run_id,
        decided_at=decided.decided_at,
        state=decided.state,
        attempts=decided.attempts,
        not_applicable=tuple(decided.not_applicable or ()),
        batch_id=decided.batch_id or "",
        marked_at=decided.marked_at,
        item=None if item is None else item_of(item),
        scores=tuple(
            ScoreMade(score_of(row), row.run_id, row.scored_at)
            for row in sorted(made, key=lambda row: (row.scored_at, row.label))
        ),
        failures=tuple(
            FailureMade(failure_of(row), row.attempt, row.run_id, row.failed_at)
            for row in sorted(missed, key=lambda row: (row.attempt, row.label))
        ),
    )
