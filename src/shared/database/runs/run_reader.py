"""`RunReader` on a database. Nothing here writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

import sqlalchemy as sa

from shared.core.counts import ModelUsage
from shared.core.results import RunReport, Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import in_stream
from shared.database.runs.report_rows import read_run_row, read_usage_rows
from shared.database.schema.tables import runs

ENDED = ("done", "nothing_new", "unpublished", "over_budget", "too_many_failures")
"""States of runs that came to their end."""


class SqlRunReader:
    """`RunReader` on `database`. Every method raises `StoreError` when it cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest_runs(self, of: str | Stream | None = None, limit: int = 20) -> list[RunReport]:
        query = sa.select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(limit)
        if isinstance(of, Stream):
            query = query.where(in_stream(runs, of))
        elif of is not None:
            query = query.where(runs.c.monitor == of)
        with self._database.read() as connection:
            return [read_run_row(row) for row in connection.execute(query)]

    def read_run(self, run_id: str) -> RunReport | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
        return None if row is None else read_run_row(row)

    def read_usage(self, monitor: str, since: datetime) -> list[ModelUsage]:
        query = sa.select(runs.c.usage).where(runs.c.monitor == monitor, runs.c.started_at >= since)
        with self._database.read() as connection:
            return [each for found in connection.scalars(query) for each in read_usage_rows(found)]

    def last_read(self, stream: Stream) -> datetime | None:
        """When the newest run began that read its whole window and stored the sample, less the seconds it was behind.

        Where there is none (all were killed, failed, or cut short by a limit) it is the first run's time, None without
        any. A run that ended with too many failures counts unless records were broken: those are to be read again.
        """
        mine = in_stream(runs, stream)
        ended = sa.select(runs.c.started_at, runs.c.status, runs.c.counts).where(mine, runs.c.status.in_(ENDED))
        first = sa.select(sa.func.min(runs.c.started_at, type_=runs.c.started_at.type)).where(mine)
        with self._database.read() as connection:
            streaming = connection.execution_options(yield_per=10)
            with streaming.execute(ended.order_by(runs.c.started_at.desc())) as newest:
                for run in newest:
                    counts = dict(run.counts)
                    broken = run.status == "too_many_failures" and counts.get("broken")
                    if not counts.get("cut") and not broken:
                        return cast(datetime, run.started_at) - timedelta(seconds=counts.get("behind", 0))
        with self._database.read() as connection:
            return cast(datetime | None, connection.scalar(first))
