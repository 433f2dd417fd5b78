"""`OutboxStore` on a database: finished items on their way to sinks (`core/state/outbox.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.digests import stable_id
from shared.core.ports import Batch
from shared.core.results import ItemResult, RunReport, Stream
from shared.core.state.outbox import (
    ClaimedMessage,
    MessageClaim,
    MessageOutcome,
    MessageState,
    OpenDeliveries,
    Outgoing,
    SinkMessage,
)
from shared.database.engine.database import Database
from shared.database.engine.lease_owner import is_gone, new_owner
from shared.database.engine.row_mapping import (
    Row,
    chunks,
    has_id_in,
    in_stream,
    insert_new,
    key,
    read_failure,
    read_item,
    read_score,
    rows_by_item,
)
from shared.database.runs.conditions import newest_scores, standing_failures
from shared.database.runs.report_rows import read_run_row
from shared.database.schema.column_types import Id
from shared.database.schema.tables import FINISHED, OPEN, decisions, failures, items, outbox, runs, scores

_O = outbox.c
_PAGE = 5000
_REASONS = 20
"""The commonest reasons that are told of a sink's rows."""


class SqlOutbox:
    """`OutboxStore` on `database`. Every method raises `StoreError` when the database cannot be read or written.

    `owner` names what this object has claimed.
    """

    def __init__(self, database: Database) -> None:
        self._database, self.owner = database, new_owner()

    def pack(self, run: RunReport, size: int, pack: Callable[[Batch], Sequence[Outgoing]], at: datetime) -> int:
        """Give up to `size` finished items, in the order of their ids, to a new batch, and store what `pack` makes of
        it, in one transaction; how many items. On SQLite other writers wait for `pack`.
        """
        stream = run.stream
        with self._database.write() as connection:
            ids = list(connection.scalars(unpacked_items(stream, size).with_for_update(skip_locked=True)))
            if not ids:
                return 0
            batch = Batch(stable_id("batch", stream, run.run_id, ids), stream, _results(connection, stream, ids), run)
            for outgoing in pack(batch):
                for part in chunks(message_rows(batch, outgoing, at)):
                    insert_new(connection, outbox, part)
            for ids_part in chunks(ids):
                mine = sa.and_(in_stream(decisions, stream), FINISHED, decisions.c.item_id.in_(ids_part))
                connection.execute(sa.update(decisions).where(mine).values(batch_id=batch.id))
        return len(ids)

    def add(self, run: RunReport, outgoing: Outgoing, at: datetime) -> None:
        with self._database.write() as connection:
            for part in chunks(message_rows(Batch("", run.stream, (), run), outgoing, at)):
                insert_new(connection, outbox, part)

    def claim(self, stream: Stream, sink: str, state: MessageState, claim: MessageClaim) -> list[ClaimedMessage]:
        with self._database.write() as connection:
            rows = connection.execute(
                claimable_messages(stream, sink, state, claim).with_for_update(skip_locked=True)
            ).all()
            if rows:
                mine = sa.update(outbox).where(_this(stream, sink))
                mine = mine.values(owner=self.owner, leased_until=claim.until)
                connection.execute(mine, [{"of_item": row.item_id, "of_key": row.key} for row in rows])
        return [_parcel(row) for row in rows]

    def renew(self, stream: Stream, sink: str, parcels: Sequence[ClaimedMessage], until: datetime) -> None:
        mine = sa.update(outbox).where(_this(stream, sink), _O.owner == self.owner).values(leased_until=until)
        rows = ({"of_item": each.message.item_id, "of_key": each.message.key} for each in parcels)
        with self._database.write() as connection:
            for part in chunks(rows):
                connection.execute(mine, part)

    def settle(self, stream: Stream, sink: str, settled: Sequence[MessageOutcome], at: datetime) -> None:
        names = ("state", "attempts", "next_try_at", "sent_at", "reason")
        mine = sa.update(outbox).where(_this(stream, sink), _O.owner == self.owner)
        mine = mine.values({name: sa.bindparam(f"new_{name}") for name in names})
        mine = mine.values(settled_at=at, owner=None, leased_until=None)
        with self._database.write() as connection:
            for done in (True, False):
                update = mine.values(body=sa.null()) if done else mine
                rows = (
                    {"of_item": each.parcel.message.item_id, "of_key": each.parcel.message.key}
                    | {f"new_{name}": getattr(each, name) for name in names}
                    for each in settled
                    if (each.state == "verified") is done
                )
                for part in chunks(rows):
                    connection.execute(update, part)

    def batch(self, stream: Stream, parcel: ClaimedMessage) -> Batch | None:
        ids = list(parcel.message.body["items"])
        with self._database.read() as connection:
            results = _results(connection, stream, ids)
            row = connection.execute(sa.select(runs).where(runs.c.run_id == parcel.run_id)).first()
        if not results or row is None:
            return None
        return Batch(parcel.batch_id, stream, results, read_run_row(row))

    def find_confirmed(self, stream: Stream, sinks: Sequence[str] | None, size: int) -> list[str]:
        found: list[str] = []
        last = ("", "")
        with self._database.read() as connection:
            if sinks is None:
                every = sa.select(decisions.c.item_id).where(in_stream(decisions, stream), FINISHED)
                return list(connection.scalars(every.limit(size)))
            while len(found) < size and (page := connection.execute(packed_items(stream, last)).all()):
                # A page, then its rows: in one statement Postgres, while it has no statistics, compares all with all.
                held = set(connection.scalars(unconfirmed_ids(connection, stream, sinks, page)))
                found += [row.item_id for row in page if row.item_id not in held and row.batch_id not in held]
                last = (page[-1].batch_id, page[-1].item_id)
        return found[:size]

    def close(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> int:
        closed = 0
        with self._database.write("marks") as connection:
            for part in chunks(item_ids):
                mine = sa.and_(in_stream(decisions, stream), FINISHED, decisions.c.item_id.in_(part))
                update = sa.update(decisions).where(mine).values(state="published", marked_at=at)
                closed += connection.execute(update).rowcount
        return closed

    def next_due(self, stream: Stream, sink: str, now: datetime) -> datetime | None:
        waiting = sa.and_(_of_sink(stream, sink), OPEN, _O.state.in_(["pending", "sent"]), _free(now))
        with self._database.read() as connection:
            found: datetime | None = connection.scalar(sa.select(sa.func.min(_O.next_try_at)).where(waiting))
        return found

    def count_unfinished(self, stream: Stream, now: datetime) -> list[OpenDeliveries]:
        count = sa.func.count()
        claimed = sa.func.sum(sa.case((_free(now), 0), else_=1))
        mine = sa.and_(in_stream(outbox, stream), OPEN)
        due = sa.func.min(sa.case((sa.and_(_free(now), _O.state != "failed"), _O.next_try_at)))
        oldest = sa.func.min(_O.stored_at)
        groups = sa.select(_O.sink, _O.state, count, claimed, due, oldest).where(mine).group_by(_O.sink, _O.state)
        told = sa.select(_O.reason, count).where(mine, _O.reason != "").group_by(_O.reason)
        told = told.order_by(count.desc(), _O.reason).limit(_REASONS)
        with self._database.read() as connection:
            return [
                OpenDeliveries(
                    sink,
                    state,
                    n,
                    int(held),
                    {why: times for why, times in connection.execute(told.where(_O.sink == sink, _O.state == state))},
                    first,
                    since,
                )
                for sink, state, n, held, first, since in connection.execute(groups.order_by(_O.sink, _O.state)).all()
            ]

    def retry_now(self, stream: Stream, sink: str, failed: bool, now: datetime) -> int:
        """Make the sink's waiting rows due now, with `failed` failed ones too, as if they were new; how many were not.
        Those that are due already stay as they are: a sink that was down has most of them.
        """
        mine = sa.and_(_of_sink(stream, sink), OPEN)
        late = sa.and_(_O.state.in_(["pending", "sent"]), _O.next_try_at > now, _free(now))
        due = sa.update(outbox).where(mine, late).values(next_try_at=now)
        new = sa.update(outbox).where(mine, _O.state == "failed")
        new = new.values(state="pending", attempts=0, stored_at=now, next_try_at=now, sent_at=None)
        with self._database.write("outbox") as connection:
            return connection.execute(due).rowcount + (connection.execute(new).rowcount if failed else 0)

    def release(self, stream: Stream, own: bool = True) -> None:
        """Give back what processes of this host that have ended had claimed, and with `own` what was claimed here."""
        mine = sa.and_(in_stream(outbox, stream), OPEN)
        with self._database.read() as connection:
            known = connection.scalars(sa.select(_O.owner).where(mine, _O.owner.is_not(None)).distinct()).all()
        gone = [each for each in known if (own if each == self.owner else is_gone(each))]
        if gone:
            with self._database.write() as connection:
                free = sa.update(outbox).where(mine, _O.owner.in_(gone))
                connection.execute(free.values(owner=None, leased_until=None))


def unpacked_items(stream: Stream, size: int) -> sa.Select[Any]:
    """The ids of finished items that are in no batch."""
    d = decisions.c
    free = sa.select(d.item_id).where(in_stream(decisions, stream), FINISHED, d.batch_id.is_(None))
    return free.order_by(d.item_id).limit(size)


def claimable_messages(stream: Stream, sink: str, state: MessageState, claim: MessageClaim) -> sa.Select[Any]:
    """Rows that may be claimed."""
    free = sa.and_(_of_sink(stream, sink), OPEN, _O.state == state, _O.next_try_at <= claim.now, _free(claim.now))
    return sa.select(outbox).where(free).order_by(_O.next_try_at).limit(claim.most)


def packed_items(stream: Stream, last: tuple[str, str]) -> sa.Select[Any]:
    """The next page of finished items that are in a batch, after this batch and item."""
    order = (decisions.c.batch_id, decisions.c.item_id)
    after = sa.tuple_(*order) > sa.tuple_(*(sa.literal(each, Id) for each in last))
    query = sa.select(*order).where(in_stream(decisions, stream), FINISHED, decisions.c.state == "scored", after)
    return query.order_by(*order).limit(_PAGE)


def unconfirmed_ids(
    connection: sa.Connection, stream: Stream, sinks: Sequence[str], page: Sequence[Row]
) -> sa.Select[Any]:
    """Which of these items, or of their batches, have something at these sinks that waits or has failed."""
    ids = sorted({each for row in page for each in (row.item_id, row.batch_id)})
    open_ones = _O.state.not_in(["verified", "skipped"])  # not the index's own words: each is looked up by the key
    mine = sa.and_(in_stream(outbox, stream), has_id_in(connection, outbox, ids), _O.sink.in_(sinks), open_ones)
    return sa.select(_O.item_id).where(mine).distinct()


def _of_sink(stream: Stream, sink: str) -> sa.ColumnElement[bool]:
    return sa.and_(in_stream(outbox, stream), _O.sink == sink)


def _this(stream: Stream, sink: str) -> sa.ColumnElement[bool]:
    """The one row of `of_item` and `of_key`."""
    return sa.and_(_of_sink(stream, sink), _O.item_id == sa.bindparam("of_item"), _O.key == sa.bindparam("of_key"))


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(_O.leased_until.is_(None), _O.leased_until <= now)


def message_rows(batch: Batch, outgoing: Outgoing, at: datetime) -> Iterator[dict[str, Any]]:
    """The rows of what one sink gets."""
    common = {"sink": outgoing.sink, "batch_id": batch.id, "run_id": batch.run.run_id, "label": "", "whole": False}
    common |= {"state": "pending", "attempts": 0, "next_try_at": at, "stored_at": at, "reason": "", "body": None}
    if outgoing.packed is None:
        ids = [result.item.id for result in batch.results]
        yield {**common, **key(batch.stream, batch.id), "key": batch.id, "whole": True, "body": {"items": ids}}
        return
    for message in outgoing.packed.messages:
        own = {"key": message.key, "label": message.label, "body": message.body}
        yield {**common, **key(batch.stream, message.item_id), **own}
    for left in outgoing.packed.skipped:
        own = {"key": f"skipped {left.label}", "label": left.label, "state": "skipped", "reason": left.reason}
        yield {**common, **key(batch.stream, left.item_id), **own}


def _parcel(row: Row) -> ClaimedMessage:
    message = SinkMessage(row.key, row.item_id, row.body, row.label)
    return ClaimedMessage(message, row.state, row.batch_id, row.run_id, row.attempts, row.stored_at, row.sent_at)


def _results(connection: sa.Connection, stream: Stream, ids: Sequence[str]) -> tuple[ItemResult, ...]:
    """What is stored of the items: their newest scores, the failures that stand, and what does not apply."""
    found = {each: read_item(rows[0]) for each, rows in rows_by_item(connection, items, stream, ids).items()}
    made = rows_by_item(connection, scores, stream, ids)
    missed = rows_by_item(connection, failures, stream, ids)
    absent = rows_by_item(connection, decisions, stream, ids, decisions.c.not_applicable.is_not(None))
    return tuple(
        ItemResult(
            found[each],
            tuple(read_score(row) for row in newest_scores(made.get(each, []))),
            tuple(read_failure(row) for row in standing_failures(missed.get(each, []), made.get(each, []))),
            tuple(absent[each][0].not_applicable) if each in absent else (),
        )
        for each in ids
        if each in found
    )
