"""Aggregates of scores, kept in the transaction that stores the scores.

The scores of runs before there were aggregates (`runs.aggregated` is false) are added later, run by run; until then
they are read as they are, so that what is read is exact at every moment.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock
from shared.core.results import ItemResult, Stream, is_thinned
from shared.core.state.fold_scores import ItemPlace, ScoreFolder, widen
from shared.core.state.score_aggregates import DAY, FIVE_MINUTES, WIDTHS, AggregateKey, ScoreAggregate, bucket_start
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, build_insert, chunks, in_stream, read_item, read_score, rows_by_item
from shared.database.runs.aggregate_rows import Aggregates, aggregate_rows, read_aggregate, read_key, segment_of
from shared.database.schema.tables import decisions, items, runs, score_aggregates, scores

_FOLD = 20_000
"""Scores that are folded together when those of older runs are added."""

_MOST_SEGMENTS = 200
"""Segments of a stream; scores of further ones are aggregated without a segment."""

_A = score_aggregates.c
_KEY = [each.name for each in score_aggregates.primary_key.columns]


@dataclass(frozen=True, slots=True)
class Saving:
    """What is stored with every result. `worker` is empty for a run that is alone with its stream."""

    stream: Stream
    run_id: str
    at: datetime
    worker: str
    published: bool
    group_by: tuple[str, ...]


class SqlAggregates:
    """`AggregateStore` on `database`; `group_by` are the fields of an item that make its segment. Every method raises
    `StoreError` when the database cannot be read or written."""

    def __init__(self, database: Database, clock: Clock, group_by: tuple[str, ...] = ()) -> None:
        self._database, self._clock, self._group_by = database, clock, group_by

    def add_older(self, stream: Stream, seconds: float = math.inf, progress: Callable[[int], object] = int) -> int:
        """Add the scores of runs that are not in the aggregates yet, newest first, for about so many seconds; how many
        runs are left."""
        until = time.monotonic() + seconds
        left = _pending_runs(self._database, stream)
        while left and time.monotonic() < until:
            with self._database.write(_lock_name(stream)) as connection:
                run_id = left.pop(0)
                if _is_pending(connection, run_id):
                    mine = scores_of_run(stream, run_id)
                    for found in _fold_rows(connection, stream, mine, self._group_by):
                        add_aggregates(connection, stream, found, self._clock())
                    connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(aggregated=sa.null()))
            progress(len(left))
        return len(left)

    def rebuild(self, stream: Stream, progress: Callable[[int], object] = int) -> None:
        """Build the aggregates of a stream again from its scores; what is read meanwhile is exact."""
        with self._database.write(_lock_name(stream)) as connection:
            forget_aggregates(connection, stream)
        self.add_older(stream, progress=progress)


def store_aggregates(connection: sa.Connection, saving: Saving, results: Iterable[tuple[ItemResult, Row]]) -> None:
    """Add scores that the transaction has stored just now, each item with the row of its decision."""
    stream = saving.stream
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(_lock_name(stream), 0))))
    if _is_pending(connection, saving.run_id):
        return
    folder = ScoreFolder()
    for result, decided in results:
        place = _place(result.item.source_timestamp or saving.at, decided, segment_of(result.item, saving.group_by))
        for score in result.scores:
            folder.add(score, place)
    add_aggregates(connection, stream, folder.build(), saving.at)


def add_aggregates(connection: sa.Connection, stream: Stream, found: Aggregates, now: datetime) -> None:
    """Add aggregates of five minutes to those stored, in buckets of every width that is kept at that age."""
    if not found:
        return
    found = _limit_segments(connection, stream, found)
    newest = sa.select(sa.func.max(_A.start, type_=_A.start.type))
    last = connection.scalar(newest.where(in_stream(score_aggregates, stream), _A.width == FIVE_MINUTES))
    # A clock that is ahead, or one trace from the future, must not drop what is recent.
    newest_here = max(key.start for key in found)
    now = min(now, newest_here if last is None else max(last, newest_here))
    for width, kept in WIDTHS.items():
        first = None if kept is None else now - timedelta(seconds=kept)
        mine = sa.and_(in_stream(score_aggregates, stream), _A.width == width)
        if first is not None and (last is None or newest_here > last):
            connection.execute(sa.delete(score_aggregates).where(mine, _A.start < first))
        wide = widen(found, width)
        wide = {key: each for key, each in wide.items() if first is None or key.start >= first}
        for part in chunks(sorted({key.start for key in wide})):
            for row in connection.execute(sa.select(score_aggregates).where(mine, _A.start.in_(part))):
                key = read_key(row)
                if key in wide:
                    wide[key] = read_aggregate(row).merge(wide[key])
        for rows in chunks(aggregate_rows(stream, width, wide)):
            insert = build_insert(connection, score_aggregates)
            change = {each.name: each for each in insert.excluded if each.name not in _KEY}
            connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=change), rows)


def forget_aggregates(connection: sa.Connection, stream: Stream | None) -> None:
    """Delete the aggregates of a stream, or of all; they are built again from the scores that are there."""
    stored, made = (sa.true() if stream is None else in_stream(each, stream) for each in (score_aggregates, runs))
    connection.execute(sa.delete(score_aggregates).where(stored))
    connection.execute(sa.update(runs).where(made).values(aggregated=False))


def read_aggregates(
    database: Database, stream: Stream, window: tuple[int, int], group_by: tuple[str, ...] = ()
) -> dict[AggregateKey, ScoreAggregate]:
    """The aggregates of a stream over a window (days, up to the newest score, and the width of buckets in seconds),
    together with those of scores that are still to be added."""
    days, width = window
    happened = scores.c.item_at
    with database.read() as connection:
        newest = sa.select(sa.func.max(happened, type_=happened.type)).where(in_stream(scores, stream))
        last = connection.scalar(newest)
        if last is None:
            return {}
        first = bucket_start(last, DAY) - timedelta(days=days - 1)
        stored = connection.execute(aggregates_since(stream, width, first))
        found = {read_key(row): read_aggregate(row) for row in stored}
        recent = sa.or_(runs.c.finished_at.is_(None), runs.c.finished_at >= first)
        for run_id in connection.scalars(_pending(stream).where(recent)).all():
            older = scores_of_run(stream, run_id).where(happened >= first)
            for part in _fold_rows(connection, stream, older, group_by):
                for key, each in widen(part, width).items():
                    found[key] = found[key].merge(each) if key in found else each
    return found


def aggregates_since(stream: Stream, width: int, first: datetime) -> sa.Select[Any]:
    """The query for stored aggregates of buckets that begin at `first` or later."""
    mine = sa.and_(in_stream(score_aggregates, stream), _A.width == width, _A.start >= first)
    return sa.select(score_aggregates).where(mine)


def _lock_name(stream: Stream) -> str:
    return f"aggregates {stream}"


def _pending(stream: Stream) -> sa.Select[Any]:
    query = sa.select(runs.c.run_id).where(in_stream(runs, stream), runs.c.aggregated.is_(False))
    return query.order_by(runs.c.started_at.desc())


def _pending_runs(database: Database, stream: Stream) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(_pending(stream)))


def _is_pending(connection: sa.Connection, run_id: str) -> bool:
    return connection.scalar(sa.select(runs.c.aggregated).where(runs.c.run_id == run_id)) is False


def _limit_segments(connection: sa.Connection, stream: Stream, found: Aggregates) -> Aggregates:
    """The aggregates with at most so many segments a day, as far as they are not stored already."""
    new = {key.segment for key in found} - {""}
    if not new:
        return found
    days = {bucket_start(key.start, DAY) for key in found}
    mine = sa.and_(in_stream(score_aggregates, stream), _A.width == DAY, _A.start.in_(sorted(days)))
    known = set(connection.scalars(sa.select(_A.segment).where(mine).distinct()))
    room = max(0, _MOST_SEGMENTS - len(known))
    kept = {"", *known, *sorted(new - known)[:room]}
    limited: dict[AggregateKey, ScoreAggregate] = {}
    for key, each in found.items():
        own = key if key.segment in kept else key._replace(segment="")
        limited[own] = limited[own].merge(each) if own in limited else each
    return limited


def _place(at: datetime, decided: Row, segment: str) -> ItemPlace:
    part = int(at.timestamp()) // FIVE_MINUTES
    return _find_place(part, segment, decided.stratum, decided.probability, decided.strategy)


@lru_cache(4096)
def _find_place(part: int, segment: str, stratum: str, probability: float | None, strategy: str) -> ItemPlace:
    """The items of one place are many, and a moment costs more than all the rest of it."""
    start = datetime.fromtimestamp(part * FIVE_MINUTES, UTC)
    return ItemPlace(start, segment, stratum, probability, is_thinned(strategy))


def _fold_rows(
    connection: sa.Connection, stream: Stream, query: sa.Select[Any], group_by: tuple[str, ...]
) -> Iterator[dict[AggregateKey, ScoreAggregate]]:
    """The aggregates of the scores that a query of `scores_of_run` finds, some thousands at a time. What belongs to
    their items is read apart, by ids: a join may read the whole stream for each row where the planner does not know it.
    """
    for part in connection.execute(query, execution_options={"yield_per": _FOLD}).partitions():
        folder = ScoreFolder()
        ids = list(dict.fromkeys(row.item_id for row in part))
        decided = rows_by_item(connection, decisions, stream, ids)
        found = rows_by_item(connection, items, stream, ids) if group_by else {}
        segments = {each: segment_of(read_item(row), group_by) for each, (row,) in found.items()}
        nothing = segment_of(None, group_by)
        for row in part:
            if row.item_id in decided:
                place = _place(row.item_at, decided[row.item_id][0], segments.get(row.item_id, nothing))
                folder.add(read_score(row), place)
        yield folder.build()


def scores_of_run(stream: Stream, run_id: str) -> sa.Select[Any]:
    """The query for the scores that a run has stored, as aggregates need them."""
    unused = (sa.literal("").label("explanation"), sa.null().label("signals"))
    own = [each for each in scores.c if each.name not in ("explanation", "signals")]
    # Every id is beyond the empty one; without this SQLite would rather read the whole stream.
    mine = (in_stream(scores, stream), scores.c.run_id == run_id, scores.c.item_id > "")
    return sa.select(*own, *unused).where(*mine)
