"""`ReportStore` on a database: runs, and samples that several runs may have scored: which run reports them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime

import sqlalchemy as sa

from shared.core.results import RunReport, Stream
from shared.core.state.claims import SampleResult
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import (
    Row,
    build_insert,
    in_stream,
    read_decision,
    read_failure,
    read_score,
    rows_by_item,
)
from shared.database.runs.conditions import PAGE, hint_open_index, is_untried, newest_scores, standing_failures
from shared.database.runs.report_rows import run_row
from shared.database.runs.run_reader import ENDED
from shared.database.schema.tables import WAITING, decisions, draws, failures, runs, scores, workers


class SqlReports:
    """`ReportStore` on `database`. Every method raises `StoreError` when the database cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_run(self, report: RunReport) -> None:
        """Write the run's row, or replace it. Killed runs of the stream are no longer running."""
        with self._database.write() as connection:
            _write_run(connection, report)

    def extend_run(self, run_id: str, until: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(finished_at=until))

    def distrust_runs_after(self, stream: Stream, now: datetime) -> None:
        mine = in_stream(runs, stream)
        ahead = sa.select(runs.c.run_id, runs.c.started_at, runs.c.counts).where(mine, runs.c.started_at > now)
        before = sa.select(sa.func.max(runs.c.started_at, type_=runs.c.started_at.type))
        before = before.where(mine, runs.c.started_at <= now, runs.c.status.in_(ENDED))
        with self._database.write() as connection:
            trusted = connection.scalar(before) or now
            for run in connection.execute(ahead).all():
                behind = math.ceil((run.started_at - trusted).total_seconds())
                counts = {**run.counts, "behind": max(behind, run.counts.get("behind", 0))}
                connection.execute(sa.update(runs).where(runs.c.run_id == run.run_id).values(counts=counts))

    def find_finished_samples(self, stream: Stream, samples: Iterable[str], worker: str) -> dict[str, int]:
        names = list(samples)
        untried = sa.select(decisions.c.run_id).where(in_stream(decisions, stream), is_untried()).distinct()
        others = sa.select(workers.c.worker).where(in_stream(workers, stream), workers.c.worker != worker)
        mine = sa.or_(draws.c.run_id.in_(names), sa.not_(others.exists()))
        query = sa.select(draws.c.run_id, draws.c.drawn).where(
            in_stream(draws, stream), mine, draws.c.reported_by.is_(None)
        )
        with self._database.read() as connection:
            unfinished = set(connection.scalars(untried))
            return {name: size for name, size in connection.execute(query) if name not in unfinished}

    def count_retries(self, stream: Stream, samples: Iterable[str]) -> dict[str, int]:
        failed = sa.and_(in_stream(decisions, stream), WAITING, hint_open_index(), decisions.c.state != "drawn")
        query = sa.select(decisions.c.run_id, sa.func.count()).where(failed, decisions.c.run_id.in_(list(samples)))
        with self._database.read() as connection:
            return {name: count for name, count in connection.execute(query.group_by(decisions.c.run_id))}

    def read_sample_results(self, stream: Stream, samples: Iterable[str]) -> Iterator[SampleResult]:
        """All that was tried of these samples, by item id, in bounded memory. Reads every decision of the stream."""
        names = list(samples)
        tried = sa.and_(
            in_stream(decisions, stream), decisions.c.run_id.in_(names), decisions.c.drawn, sa.not_(is_untried())
        )
        last = ""
        while names:
            query = sa.select(decisions).where(tried, decisions.c.item_id > last)
            with self._database.read() as connection:
                decided = connection.execute(query.order_by(decisions.c.item_id).limit(PAGE)).all()
                ids = [row.item_id for row in decided]
                scored = rows_by_item(connection, scores, stream, ids)
                failed = rows_by_item(connection, failures, stream, ids)
            for row in decided:
                yield _sample_result(row, scored.get(row.item_id, []), failed.get(row.item_id, []))
            if len(ids) < PAGE:
                return
            last = ids[-1]

    def report_samples(self, report: RunReport, samples: Iterable[str]) -> bool:
        mine = sa.and_(in_stream(draws, report.stream), draws.c.run_id.in_(sorted(set(samples))))
        query = sa.select(draws.c.reported_by).where(mine).order_by(draws.c.run_id).with_for_update()
        with self._database.write() as connection:
            if any(row.reported_by not in (None, report.run_id) for row in connection.execute(query)):
                return False
            connection.execute(sa.update(draws).where(mine).values(reported_by=report.run_id))
            _write_run(connection, report)
        return True


def _write_run(connection: sa.Connection, report: RunReport) -> None:
    row, stream = run_row(report), report.stream
    alive = sa.select(workers.c.run_id).where(in_stream(workers, stream))
    killed = sa.update(runs).where(in_stream(runs, stream), runs.c.status == "running", runs.c.run_id != report.run_id)
    connection.execute(killed.where(runs.c.run_id.not_in(alive)).values(status="interrupted"))
    insert = build_insert(connection, runs)
    connection.execute(insert.on_conflict_do_update(index_elements=[runs.c.run_id], set_=row), row)


def _sample_result(decided: Row, scored: list[Row], failed: list[Row]) -> SampleResult:
    return SampleResult(
        decided.run_id,
        read_decision(decided),
        tuple(read_score(row) for row in newest_scores(scored)),
        tuple(read_failure(row) for row in standing_failures(failed, scored)),
        tuple(decided.not_applicable or ()),
    )
