"""`SampleStore` on a database: what was sampled, each step in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock
from shared.core.errors import StoreError
from shared.core.records import DatasetItem
from shared.core.results import Decision, RunReport, Stream
from shared.core.state.claims import SampledItem
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import (
    chunks,
    has_id_in,
    in_stream,
    insert_new,
    item_row,
    key,
    known_ids,
    read_item,
    rows_by_item,
)
from shared.database.engine.table_statistics import analyze_grown, vacuum_rewritten
from shared.database.engine.unsampled_ids import find_unsampled, save_unsampled
from shared.database.runs.conditions import hint_open_index, sampled_item
from shared.database.schema.tables import WAITING, decisions, draws, failures, items, runs, scores

_THIN = (
    sa.update(decisions)
    .where(
        *(decisions.c[name] == sa.bindparam(f"of_{name}") for name in ("source_key", "monitor_key", "item_id")),
        decisions.c.state == "drawn",
        decisions.c.attempts == 0,
    )
    .values({name: sa.bindparam(f"new_{name}") for name in ("drawn", "state", "probability", "strategy")})
)


_REOPENED = {
    **{"state": "drawn", "attempts": 0},
    **dict.fromkeys(("not_applicable", "batch_id", "marked_at", "claimed_by", "tried_at"), sa.null()),
}
_RUNS = 1000  # newest runs of which one may have left items without any score


class SqlSamples:
    """`SampleStore` on `database`; `clock` dates what is stored. Streams never meet: every row is keyed by the stream.
    Every method raises `StoreError` when the database cannot be read or written; what was stored before stays.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def find_undecided(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        ids = dict.fromkeys(item_ids)
        with self._database.read() as connection:
            decided = known_ids(connection, decisions, stream, ids)
            decided |= find_unsampled(connection, stream, ids.keys() - decided)
        return [each for each in ids if each not in decided]

    def save_sample(
        self, run_id: str, stream: Stream, decisions: Sequence[Decision], sampled: Iterable[DatasetItem]
    ) -> None:
        """Store a sample in one transaction. The first decision of an item stands, with the item as it was then.

        `sampled` is read once, in pieces, inside the transaction: other writers wait for it.

        Raises:
            StoreError: when it cannot be stored, or a sampled item did not come; nothing is stored then.
        """
        at = self._clock()
        with self._database.write(f"samples {stream}") as connection:
            missing = _insert_sampled(connection, run_id, stream, decisions, at)
            count = len(missing)
            written = save_unsampled(connection, run_id, stream, decisions, at)
            if missing:
                sample = {"source_key": stream.source_key, "monitor_key": stream.monitor_key, "run_id": run_id}
                insert_new(connection, draws, [sample | {"drawn": len(missing), "drawn_at": at}])
            for part in chunks(item for item in sampled if item.id in missing):
                insert_new(connection, items, [item_row(stream, item, at) for item in part])
                missing.difference_update(item.id for item in part)
            if missing:
                raise StoreError(
                    f"{stream}: {len(missing)} sampled items did not come with the sample, such as {min(missing)!r}"
                )
        analyze_grown(self._database, count, "items", "decisions")
        vacuum_rewritten(self._database, written, "unsampled_pages")

    def reopen_unscored(self, run: RunReport) -> int:
        before = sa.select(runs.c.config_digest).where(in_stream(runs, run.stream), runs.c.run_id != run.run_id)
        with self._database.read() as connection:
            digest = connection.scalar(before.order_by(runs.c.started_at.desc()).limit(1))
        if digest in (None, run.config.digest):
            return 0
        with self._database.write() as connection:
            found = _find_unscored(connection, run.stream)
            _reopen(connection, run.stream, found)
        return len(found)

    def may_have_unscored(self, stream: Stream) -> bool:
        newest = sa.select(runs.c.counts, runs.c.status).where(in_stream(runs, stream))
        with self._database.read() as connection:
            found = connection.execute(newest.order_by(runs.c.started_at.desc()).limit(_RUNS))
            # A run that was killed has stored no counts.
            return any(row.counts.get("no_metric") or row.status == "running" for row in found)

    def find_unscored(self, stream: Stream, item_ids: Sequence[str]) -> dict[str, DatasetItem]:
        found: dict[str, DatasetItem] = {}
        with self._database.read() as connection:
            for part in chunks(item_ids):
                ids = _find_unscored(connection, stream, has_id_in(connection, decisions, part))
                rows = rows_by_item(connection, items, stream, list(ids))
                found |= {each: read_item(row) for each, (row,) in rows.items()}
        return found

    def reopen_changed(self, stream: Stream, changed: Sequence[DatasetItem]) -> None:
        at = self._clock()
        with self._database.write() as connection:
            ids = [item.id for item in changed]
            found = _find_unscored(connection, stream, has_id_in(connection, decisions, ids))
            _reopen(connection, stream, found)
            for item in changed:
                if item.id in found:
                    mine = sa.and_(in_stream(items, stream), items.c.item_id == item.id)
                    connection.execute(sa.update(items).where(mine).values(item_row(stream, item, at)))

    def thin(self, stream: Stream, decisions: Sequence[Decision]) -> None:
        with self._database.write() as connection:
            for part in chunks(decisions):
                connection.execute(_THIN, [_thin_row(stream, each) for each in part])

    def unfinished_ids(self, stream: Stream, max_attempts: int) -> list[str]:
        unfinished = sa.and_(in_stream(decisions, stream), WAITING, hint_open_index())
        query = sa.select(decisions.c.item_id).where(unfinished, decisions.c.attempts < max_attempts)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def read_unfinished(self, stream: Stream, item_ids: Sequence[str]) -> list[SampledItem]:
        with self._database.read() as connection:
            unfinished = known_ids(connection, decisions, stream, item_ids, WAITING)
            wanted = [each for each in item_ids if each in unfinished]
            decided = rows_by_item(connection, decisions, stream, wanted)
            found = rows_by_item(connection, items, stream, wanted)
            have = rows_by_item(connection, scores, stream, wanted)
        return [sampled_item(read_item(found[each][0]), decided[each][0], have.get(each, ())) for each in wanted]

    def count_scores_sampled_with(self, stream: Stream, item_ids: Sequence[str]) -> int:
        samples: set[str] = set()
        found = 0
        with self._database.read() as connection:
            for part in chunks(item_ids):
                mine = sa.and_(in_stream(decisions, stream), has_id_in(connection, decisions, part))
                samples.update(connection.scalars(sa.select(decisions.c.run_id).where(mine).distinct()))
            sampled = sa.and_(in_stream(decisions, stream), decisions.c.run_id.in_(sorted(samples)))
            for some in chunks(connection.scalars(sa.select(decisions.c.item_id).where(sampled)).all()):
                theirs = sa.and_(in_stream(scores, stream), has_id_in(connection, scores, some))
                found += connection.scalar(sa.select(sa.func.count()).where(theirs)) or 0
        return found


def _reopen(connection: sa.Connection, stream: Stream, found: Mapping[str, str]) -> None:
    """Sample items again, whose samples are reported again; `found` are their ids with the run that sampled each."""
    for part in chunks(found):
        mine = sa.and_(in_stream(decisions, stream), has_id_in(connection, decisions, part))
        connection.execute(sa.update(decisions).where(mine).values(**_REOPENED))
    for some in chunks(sorted(set(found.values()))):
        theirs = sa.and_(in_stream(draws, stream), draws.c.run_id.in_(some))
        connection.execute(sa.update(draws).where(theirs).values(reported_by=None))


def _find_unscored(connection: sa.Connection, stream: Stream, *also: sa.ColumnElement[bool]) -> dict[str, str]:
    """Finished items that have neither scores nor failures, for no metric applied to them, with the run that sampled
    each; not those whose texts were pruned."""
    pruned = sa.select(runs.c.run_id).where(in_stream(runs, stream), runs.c.pruned_at.is_not(None))
    without = set(connection.scalars(pruned))
    query = sa.select(decisions.c.item_id, decisions.c.run_id).where(
        in_stream(decisions, stream),
        decisions.c.state.in_(["scored", "published"]),
        decisions.c.not_applicable.is_not(None),
        *also,
    )
    found = {row.item_id: row.run_id for row in connection.execute(query) if row.run_id not in without}
    for table in (scores, failures):
        for each in known_ids(connection, table, stream, found):
            del found[each]
    return found


def _insert_sampled(
    connection: sa.Connection, run_id: str, stream: Stream, made: Sequence[Decision], at: datetime
) -> set[str]:
    """Insert the decisions about sampled items that are first of their item; the ids of these items."""
    first = {each.item_id: each for each in reversed(made) if each.drawn}
    for each in find_unsampled(connection, stream, first):
        del first[each]
    source, monitor = stream.source_key, stream.monitor_key
    all_new = True
    for part in chunks(first.values()):
        rows: list[dict[str, Any]] = [
            {
                "source_key": source,
                "monitor_key": monitor,
                "item_id": each.item_id,
                "run_id": run_id,
                "drawn": True,
                "probability": each.probability,
                "strategy": each.strategy,
                "stratum": each.stratum,
                "decided_at": at,
                "state": "drawn",
                "attempts": 0,
            }
            for each in part
        ]
        all_new = insert_new(connection, decisions, rows) == len(rows) and all_new
    if all_new:
        return set(first)
    return known_ids(connection, decisions, stream, first, decisions.c.run_id == run_id, decisions.c.decided_at == at)


def _thin_row(stream: Stream, decision: Decision) -> dict[str, Any]:
    """The parameters of `_THIN`; the run that sampled the item stays in its row, and its sample is finished later."""
    changed: dict[str, Any] = {"drawn": decision.drawn, "state": "drawn" if decision.drawn else "undrawn"}
    changed |= {"probability": decision.probability, "strategy": decision.strategy}
    named = {f"of_{name}": value for name, value in key(stream, decision.item_id).items()}
    return named | {f"new_{name}": value for name, value in changed.items()}
