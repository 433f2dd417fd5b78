"""The sink of `push_to_db`: batches as rows of the normalised tables, in a database of the user's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from shared.core.ports import Batch
from shared.core.results import Stream
from shared.database.engine.database import Database
from shared.database.evaluation.evaluation_rows import dataset_rows, result_rows
from shared.database.evaluation.table_setup import inspect_tables, require_tables
from shared.database.upload.evaluation_tables import dataset, results
from shared.database.upload.upload_result import EvaluationUploadError, OnConflict, UploadOptions
from shared.database.upload.upload_rows import upload_rows


class DatabaseSink:
    """Stores every batch in one transaction, whole or not at all; the same batch again leaves one copy.

    The database is opened for each batch and given back after it, so that a serverless one may sleep in between.
    """

    def __init__(self, name: str, opening: Callable[[], Database], on_conflict: OnConflict, chunk_size: int) -> None:
        self.name = name
        self._opening, self._ready = opening, False
        self._datasets = UploadOptions(
            dataset.name, "upsert" if on_conflict == "upsert" else "do_nothing", (), chunk_size
        )
        self._results = UploadOptions(results.name, on_conflict, (), chunk_size)

    async def publish(self, batch: Batch) -> None:
        """Store the batch's rows; on return they are in the database. Tables that are not there are made.

        Raises:
            StoreError: when the database cannot be written or its tables are of an older layout, with what to do; with
                `on_conflict: error` also when another batch has stored one of the scores. Nothing is stored then.
        """
        await asyncio.to_thread(self._store, batch)

    async def newest_run(self, stream: Stream) -> str:
        """The run whose rows of this stream were stored last; empty without any."""
        return await asyncio.to_thread(self._find_newest_run, stream)

    async def connect(self) -> str:
        """What is there: whether the database answers, and whether its tables are as they should be; makes no table.

        Raises:
            StoreError: when it cannot be read, or its tables are of an older layout or somebody else's.
        """
        return await asyncio.to_thread(self._look)

    def _look(self) -> str:
        database = self._opening()
        try:
            if inspect_tables(database).state == "absent":
                return f"{database.place} answers; the first run makes the tables"
            require_tables(database)
            return f"{database.place} answers; its tables are as they should be"
        finally:
            database.close()

    def _find_newest_run(self, stream: Stream) -> str:
        mine = (results.c.source_key == stream.source_key, results.c.monitor_key == stream.monitor_key)
        newest = sa.select(results.c.run_id).where(*mine).order_by(results.c.timestamp.desc()).limit(1)
        database = self._opening()
        try:
            with database.read() as connection:
                return connection.scalar(newest) or ""
        finally:
            database.close()

    def _store(self, batch: Batch) -> None:
        database = self._opening()
        try:
            if not self._ready:
                require_tables(database)
                self._ready = True
            with database.write() as connection:
                upload_rows(connection, self._datasets, list(dataset_rows(batch)))
                rows = list(result_rows(batch))
                upload = self._results
                if upload.on_conflict == "error":
                    _refuse_others(connection, batch, rows)
                    upload = replace(upload, on_conflict="do_nothing")  # what is there is this batch's own
                upload_rows(connection, upload, rows)
        finally:
            database.close()


def _refuse_others(connection: sa.Connection, batch: Batch, rows: Iterable[dict[str, Any]]) -> None:
    """Refuse the batch when another one has stored one of its results."""
    wanted: sa.BindParameter[Any] = sa.bindparam("wanted", expanding=True)
    theirs = sa.select(results.c.dataset_id, results.c.metric_name, results.c.run_id).where(
        results.c.result_key.in_(wanted), results.c.batch_id.is_distinct_from(batch.id)
    )
    keys = [row["result_key"] for row in rows]
    for start in range(0, len(keys), 1000):
        found = connection.execute(theirs.limit(1), {"wanted": keys[start : start + 1000]}).first()
        if found is not None:
            raise EvaluationUploadError(
                f"evaluation_results: {found.metric_name!r} of item {found.dataset_id!r} is there already, from run"
                f" {found.run_id!r}; nothing of this batch was stored. Take on_conflict do_nothing to keep what is"
                " there, or upsert to replace it"
            )
