"""`EstimateStore` on a database. A sample that a sink was given is a verified row of the outbox without an item: its
label is the name of the collection.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from shared.core.clock import Clock, iso, parse_time
from shared.core.ports import Batch
from shared.core.results import RunReport, Stream
from shared.core.state.outbox import Outgoing
from shared.core.state.run_estimates import Collection
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks, has_id_in, in_stream, insert_new, key
from shared.database.runs.sql_outbox import message_rows
from shared.database.schema.tables import decisions, draws, outbox, runs

_PREFIX = "estimates of "


class SqlEstimates:
    """`EstimateStore` on `database`. Every method raises `StoreError` when it cannot be read or written."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def samples_of(self, stream: Stream, item_ids: Iterable[str]) -> set[str]:
        found: set[str] = set()
        with self._database.read() as connection:
            for part in chunks(list(item_ids)):
                mine = sa.and_(in_stream(decisions, stream), has_id_in(connection, decisions, part))
                found.update(connection.scalars(sa.select(decisions.c.run_id).where(mine).distinct()))
        return found

    def find_unpublished(self, run: RunReport, sink: str, samples: Iterable[str]) -> set[str]:
        names, stream = sorted(samples), run.stream
        ended = sa.select(runs.c.run_id).where(runs.c.run_id == draws.c.reported_by, runs.c.status != "running")
        by_whom = sa.or_(draws.c.reported_by == run.run_id, ended.exists())
        reported = sa.and_(in_stream(draws, stream), draws.c.run_id.in_(names), by_whom)
        given = sa.and_(_of_no_item(stream, sink), outbox.c.key.in_([_PREFIX + name for name in names]))
        with self._database.read() as connection:
            known = {each.removeprefix(_PREFIX) for each in connection.scalars(sa.select(outbox.c.key).where(given))}
            return set(connection.scalars(sa.select(draws.c.run_id).where(reported))) - known

    def read_collection(self, stream: Stream, sink: str, name: str) -> Collection:
        mine = sa.and_(_of_no_item(stream, sink), outbox.c.label == name, outbox.c.key.startswith(_PREFIX))
        with self._database.read() as connection:
            rows = connection.execute(sa.select(outbox.c.key, outbox.c.body).where(mine)).all()
        starts = [parse_time(row.body["since"]) for row in rows]
        return Collection(frozenset(row.key.removeprefix(_PREFIX) for row in rows), min(starts, default=None))

    def publish_estimates(self, run: RunReport, outgoing: Outgoing, samples: Iterable[str], name: str) -> None:
        now = self._clock()
        rows = list(message_rows(Batch("", run.stream, (), run), outgoing, now))
        new = {"owner": None, "leased_until": None, "sent_at": None, "settled_at": None}
        names = ("label", "run_id", "state", "attempts", "next_try_at", "stored_at", "reason", "body")
        marks = [
            {
                **{"sink": outgoing.sink, "batch_id": "", "run_id": run.run_id, "label": name, "whole": False},
                **{"state": "verified", "attempts": 0, "next_try_at": now, "stored_at": now, "reason": ""},
                **{"body": {"since": iso(run.started_at)}, **key(run.stream, ""), "key": _PREFIX + sample},
            }
            for sample in sorted(samples)
        ]
        with self._database.write() as connection:
            insert = build_insert(connection, outbox)
            changed = {column: insert.excluded[column] for column in names} | new
            for row in rows:
                connection.execute(insert.on_conflict_do_update(index_elements=outbox.primary_key, set_=changed), row)
            insert_new(connection, outbox, marks)


def _of_no_item(stream: Stream, sink: str) -> sa.ColumnElement[bool]:
    return sa.and_(in_stream(outbox, stream), outbox.c.item_id == "", outbox.c.sink == sink)
