"""`RunReader` on a database: what reports and baselines read. Nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast

import sqlalchemy as sa

from shared.core.results import DailyScore, RunReport, StoredResult, Stream, is_thinned
from shared.core.state.item_history import ItemStory, PassedOver
from shared.core.usage import ModelUsage
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, decision_of, failure_of, item_of, of, rows_by_item, score_of
from shared.database.runs.report_rows import run_of, usage_of
from shared.database.runs.sql_item_history import ids_near, passed_of_item, stories_of
from shared.database.schema.tables import WAITING, decisions, failures, items, runs, scores

PAGE = 500
"""Items held in memory at a time."""

_ENDED = ("done", "nothing_new", "unpublished", "over_budget", "too_many_failures")

RECENT = 100_000
"""Past scores that `spreads` looks at: the newest, enough for two digits."""


class SqlRunReader:
    """`RunReader` on `database` (see `core/ports.py`). Every method raises `StoreError` when it cannot be read."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def runs(self, of: str | Stream | None = None, limit: int = 20) -> list[RunReport]:
        """The newest runs, newest first: of a monitor by its name, of a stream, or of all."""
        query = sa.select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(limit)
        if isinstance(of, Stream):
            query = query.where(runs.c.source_key == of.source_key, runs.c.monitor_key == of.monitor_key)
        elif of is not None:
            query = query.where(runs.c.monitor == of)
        with self.database.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def run(self, run_id: str) -> RunReport | None:
        """One run, None when there is none of that id."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
        return None if row is None else run_of(row)

    def results(
        self, stream: Stream, run_id: str | None = None, since: datetime | None = None
    ) -> Iterator[StoredResult]:
        """Items with what is stored of them, by item id; see the port for `run_id` and `since`."""
        last = ""
        while True:
            with self.database.read() as connection:
                ids = list(connection.scalars(page_of_ids(stream, run_id, since, last)))
                found = rows_by_item(connection, items, stream, ids)
                decided = rows_by_item(connection, decisions, stream, ids)
                made = rows_by_item(connection, scores, stream, ids, *_made_by(scores, run_id, since))
                missed = rows_by_item(connection, failures, stream, ids, *_made_by(failures, run_id, since))
                settled = made if run_id is None and since is None else rows_by_item(connection, scores, stream, ids)
            for each in ids:
                standing = (
                    missed.get(each, []) if run_id else standing_failures(missed.get(each, []), settled.get(each, []))
                )
                if each in made or standing:
                    yield _stored(found[each][0], decided[each][0], made.get(each, []), standing)
            if len(ids) < PAGE:
                return
            last = ids[-1]

    def daily(self, stream: Stream, days: int) -> Iterator[DailyScore]:
        """Every score of the last `days` days (1 or more), oldest first; the newest day with a score is the last."""
        happened = scores.c.item_at
        newest = sa.select(sa.func.max(happened, type_=happened.type)).where(of(scores, stream))
        with self.database.read() as connection:
            last = connection.scalar(newest)
            if last is None:
                return
            first = datetime.combine(last.date() - timedelta(days=days - 1), time(), UTC)
            for row in connection.execution_options(yield_per=1000).execute(since_day(stream, first)):
                value = math.nan if row.value is None else row.value
                yield DailyScore(
                    row.item_at.date(),
                    row.label,
                    value,
                    row.passed,
                    row.probability,
                    row.stratum,
                    row.run_id,
                    row.proxy,
                    row.chance,
                    is_thinned(row.strategy),
                )

    def spreads(self, stream: Stream, label: str) -> dict[str, float]:
        """Standard deviation (n - 1) of a label's newest 100,000 scores by stratum, where there are at least two."""
        query = (
            sa.select(decisions.c.stratum, scores.c.value)
            .join(decisions, same_item(decisions, scores))
            .where(of(scores, stream), scores.c.label == label, scores.c.value.is_not(None))
            .order_by(scores.c.item_at.desc())
            .limit(RECENT)
        )
        values: dict[str, list[float]] = {}
        with self.database.read() as connection:
            for stratum, value in connection.execute(query):
                if math.isfinite(value):
                    values.setdefault(stratum, []).append(value)
        return {stratum: _deviation(found) for stratum, found in values.items() if len(found) > 1}

    def usage(self, monitor: str, since: datetime) -> list[ModelUsage]:
        """What runs of a monitor that began since then have asked of models, those of killed runs as last stored."""
        query = sa.select(runs.c.usage).where(runs.c.monitor == monitor, runs.c.started_at >= since)
        with self.database.read() as connection:
            return [each for found in connection.scalars(query) for each in usage_of(found)]

    def last_read(self, stream: Stream) -> datetime | None:
        """When the newest run began that read its whole window and stored the draw, less the seconds it was behind.

        Where there is none (all were killed, failed, or cut short by a limit) it is the first run's time, None without
        any. A run that ended with too many failures counts unless records were broken: those are to be read again.
        """
        mine = (runs.c.source_key == stream.source_key, runs.c.monitor_key == stream.monitor_key)
        ended = sa.select(runs.c.started_at, runs.c.status, runs.c.counts).where(*mine, runs.c.status.in_(_ENDED))
        first = sa.select(sa.func.min(runs.c.started_at, type_=runs.c.started_at.type)).where(*mine)
        with self.database.read() as connection:
            streaming = connection.execution_options(yield_per=10)
            with streaming.execute(ended.order_by(runs.c.started_at.desc())) as newest:
                for run in newest:
                    counts = dict(run.counts)
                    broken = run.status == "too_many_failures" and counts.get("broken")
                    if not counts.get("cut") and not broken:
                        return cast(datetime, run.started_at) - timedelta(seconds=counts.get("behind", 0))
        with self.database.read() as connection:
            return cast(datetime | None, connection.scalar(first))

    def passed_over(self, stream: Stream, item_id: str) -> list[PassedOver]:
        """Why an item was left out where no decision was made about it, oldest first."""
        return passed_of_item(self.database, stream, item_id)

    def story(self, stream: Stream, item_id: str) -> list[ItemStory]:
        """All that is stored of an item by its source's id, its versions oldest decision first."""
        return stories_of(self.database, stream, item_id)

    def ids_near(self, stream: Stream, item_id: str) -> list[str]:
        """Up to 500 known ids on either side of this one, as their source gave them."""
        return ids_near(self.database, stream, item_id)


def dated() -> sa.ColumnElement[bool]:
    """Always true: said so that SQLite takes the index of open work."""
    return decisions.c.decided_at >= datetime(1970, 1, 1, tzinfo=UTC)


def untried() -> sa.ColumnElement[bool]:
    """Drawn, and never tried."""
    return sa.and_(WAITING, dated(), decisions.c.state == "drawn")


def since_day(stream: Stream, first: datetime) -> sa.Select[Any]:
    """The query for all scores of items that happened at `first` or later, oldest first."""
    said = scores.c
    columns = (said.item_at, said.label, said.value, said.passed, said.run_id, said.proxy, said.chance)
    return (
        sa.select(*columns, decisions.c.probability, decisions.c.stratum, decisions.c.strategy)
        .join(decisions, same_item(decisions, scores))
        .where(of(scores, stream), scores.c.item_at >= first)
        .order_by(scores.c.item_at)
    )


def same_item(left: sa.Table, right: sa.Table) -> sa.ColumnElement[bool]:
    """Rows of two tables that are about one item of one stream."""
    return sa.and_(*(left.c[each.name] == right.c[each.name] for each in decisions.primary_key.columns))


def _made_by(table: sa.Table, run_id: str | None, since: datetime | None) -> list[sa.ColumnElement[bool]]:
    """Conditions on rows of `scores` or `failures`: made by a run, made since a moment."""
    when = table.c.scored_at if "scored_at" in table.c else table.c.failed_at
    limits = [] if run_id is None else [table.c.run_id == run_id]
    return limits if since is None else [*limits, when >= since]


def page_of_ids(
    stream: Stream, run_id: str | None, since: datetime | None, last: str
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """The next ids of items that have scores or failures, after `last`."""
    if run_id is not None:
        parts = (
            sa.select(table.c.item_id).where(of(table, stream), table.c.item_id > last, *_made_by(table, run_id, since))
            for table in (scores, failures)
        )
        return sa.union(*parts).order_by("item_id").limit(PAGE)
    said = sa.or_(
        *(
            sa.exists().where(same_item(table, items), *_made_by(table, None, since)).correlate(items)
            for table in (scores, failures)
        )
    )
    return (
        sa.select(items.c.item_id)
        .where(of(items, stream), items.c.item_id > last, said)
        .order_by(items.c.item_id)
        .limit(PAGE)
    )


def standing_failures(missed: list[Row], made: list[Row]) -> list[Row]:
    """The last failure of each label that has no score, by whatever version of its metric."""
    have = {row.label for row in made}
    latest = {row.label: row for row in sorted(missed, key=lambda row: row.attempt)}
    return [row for label, row in latest.items() if label not in have]


def newest_scores(made: list[Row]) -> list[Row]:
    """The newest score of each label: a metric that was changed between two tries has one of each version."""
    latest = {row.label: row for row in sorted(made, key=lambda row: row.scored_at)}
    return [row for row in made if latest[row.label] is row]


def _stored(item: Row, decision: Row, made: list[Row], missed: list[Row]) -> StoredResult:
    return StoredResult(
        item=item_of(item),
        decision=decision_of(decision),
        scores=tuple(score_of(row) for row in made),
        failures=tuple(failure_of(row) for row in missed),
        scored_at=max([row.scored_at for row in made] + [row.failed_at for row in missed]),
    )


def _deviation(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
