"""`ItemHistoryReader` on a database: all that is stored of one item."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from shared.core.results import Stream
from shared.core.state.item_history import (
    VERSION_DIGITS,
    DeliveryRecord,
    FailureRecord,
    ItemHistory,
    ScoreRecord,
    SkippedItem,
    own_id,
)
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import (
    Row,
    in_stream,
    read_decision,
    read_failure,
    read_item,
    read_score,
    rows_by_item,
)
from shared.database.engine.unsampled_ids import read_unsampled
from shared.database.schema.tables import decisions, failures, items, outbox, passed_over, scores

NEAR = 500
"""Ids looked at on either side of one that is not there."""


class SqlItemHistoryReader:
    """`ItemHistoryReader` on `database`. Every method raises `StoreError` when it cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read_histories(self, stream: Stream, item_id: str) -> list[ItemHistory]:
        with self._database.read() as connection:
            ids = list(connection.scalars(_version_ids(stream, item_id)))
            ids = [each for each in ids if item_id in (each, own_id(each))]
            decided = rows_by_item(connection, decisions, stream, ids)
            found = rows_by_item(connection, items, stream, ids)
            scored = rows_by_item(connection, scores, stream, ids)
            failed = rows_by_item(connection, failures, stream, ids)
            skipped = rows_by_item(connection, passed_over, stream, ids)
            batches = [rows[0].batch_id for rows in decided.values() if rows[0].batch_id]
            posted = rows_by_item(connection, outbox, stream, [*ids, *batches])
            left_out = [] if item_id in decided else read_unsampled(connection, stream, item_id)
            noted = rows_by_item(connection, passed_over, stream, [item_id]).get(item_id, ()) if left_out else ()
        histories = [
            _history(stream, rows[0], next(iter(found.get(each, ())), None))._replace(
                scores=_score_records(scored.get(each, [])),
                failures=_failure_records(failed.get(each, [])),
                passed=tuple(map(_skipped_item, skipped.get(each, ()))),
                delivered=tuple(map(_delivery, (*posted.get(rows[0].batch_id, ()), *posted.get(each, ())))),
            )
            for each, rows in decided.items()
        ]
        histories += [each._replace(passed=tuple(map(_skipped_item, noted))) for each in left_out]
        return sorted(histories, key=lambda history: (history.decided_at, history.decision.item_id))

    def read_skipped(self, stream: Stream, item_id: str) -> list[SkippedItem]:
        with self._database.read() as connection:
            rows = rows_by_item(connection, passed_over, stream, [item_id]).get(item_id, [])
        return [_skipped_item(row) for row in sorted(rows, key=lambda row: row.at)]

    def nearby_ids(self, stream: Stream, item_id: str) -> list[str]:
        """Up to `NEAR` ids on either side of this one in the order of ids, as their source gave them, each once; not
        those of items that were left out, whose ids are stored as digests."""
        before = sa.select(decisions.c.item_id).where(in_stream(decisions, stream), decisions.c.item_id < item_id)
        behind = sa.select(decisions.c.item_id).where(in_stream(decisions, stream), decisions.c.item_id > item_id)
        with self._database.read() as connection:
            lower = list(connection.scalars(before.order_by(decisions.c.item_id.desc()).limit(NEAR)))
            upper = list(connection.scalars(behind.order_by(decisions.c.item_id).limit(NEAR)))
        return list(dict.fromkeys(own_id(each) for each in (*reversed(lower), *upper)))


def _version_ids(stream: Stream, item_id: str) -> sa.Select[Any]:
    """Ids that are this one, or this one with the digest of a version behind it."""
    known, head = decisions.c.item_id, f"{item_id}@"
    length = sa.func.length(known) == len(head) + VERSION_DIGITS
    # Between `id@` and `id@g` stand all versions, whatever a database thinks of the order of other letters.
    versions = sa.and_(known >= head, known <= f"{head}g", length)
    return sa.select(known).where(in_stream(decisions, stream), sa.or_(known == item_id, versions))


def _delivery(row: Row) -> DeliveryRecord:
    return DeliveryRecord(row.sink, row.label, row.state, row.attempts, row.reason, row.next_try_at, row.settled_at)


def _skipped_item(row: Row) -> SkippedItem:
    return SkippedItem(row.item_id, row.reason, row.times, row.detail, row.run_id, row.at)


def _history(stream: Stream, decided: Row, item: Row | None) -> ItemHistory:
    return ItemHistory(
        stream=stream,
        decision=read_decision(decided),
        run_id=decided.run_id,
        decided_at=decided.decided_at,
        state=decided.state,
        attempts=decided.attempts,
        not_applicable=tuple(decided.not_applicable or ()),
        batch_id=decided.batch_id or "",
        marked_at=decided.marked_at,
        item=None if item is None else read_item(item),
    )


def _score_records(rows: list[Row]) -> tuple[ScoreRecord, ...]:
    ordered = sorted(rows, key=lambda row: (row.scored_at, row.label))
    return tuple(ScoreRecord(read_score(row), row.run_id, row.scored_at) for row in ordered)


def _failure_records(rows: list[Row]) -> tuple[FailureRecord, ...]:
    ordered = sorted(rows, key=lambda row: (row.attempt, row.label))
    return tuple(FailureRecord(read_failure(row), row.attempt, row.run_id, row.failed_at) for row in ordered)
