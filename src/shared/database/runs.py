"""`RunStore` on a database: what was drawn, scored and published, each step in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock, utc_now
from shared.core.digests import stable_id
from shared.core.errors import StoreError
from shared.core.ports import Batch, DrawnItem
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, RunReport, Stream
from shared.database.engine import Database
from shared.database.locks import stream_lock
from shared.database.reading import PAGE, SqlRunReader, dated, newest_scores, standing_failures
from shared.database.reports import run_row
from shared.database.rows import (
    chunks,
    decision_of,
    failure_of,
    failure_row,
    insert_new,
    inserting,
    item_of,
    item_row,
    key,
    known,
    of,
    rows_by_item,
    score_of,
    score_rows,
)
from shared.database.tables import FINISHED, WAITING, decisions, failures, items, runs, scores
from shared.database.waiting import THIN, drawn_items, scores_drawn_with, thin_row, waiting_ids, waiting_page


class SqlRunStore(SqlRunReader):
    """`RunStore` on `database` (see `core/ports.py` for its promises), and the `RunReader` of what it wrote.

    `clock` dates what is stored. Streams never meet: every row is keyed by the stream. Several processes may use one
    database; for one stream they take turns through `lock`. Every method raises `StoreError` when the database
    cannot be read or written; what was stored before stays.
    """

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        super().__init__(database)
        self._clock = clock

    def start_run(self, report: RunReport) -> None:
        """Write the run's row; writing it again replaces it. Killed runs of the stream are no longer running."""
        row = run_row(report)
        mine = (runs.c.source_key == report.stream.source_key, runs.c.monitor_key == report.stream.monitor_key)
        with self.database.write() as connection:
            killed = sa.update(runs).where(*mine, runs.c.status == "running", runs.c.run_id != report.run_id)
            connection.execute(killed.values(status="interrupted"))
            insert = inserting(connection, runs)
            connection.execute(insert.on_conflict_do_update(index_elements=[runs.c.run_id], set_=row), row)

    def finish_run(self, report: RunReport) -> None:
        """Write the run's end into its row."""
        self.start_run(report)

    def undecided(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids for which no draw was ever stored, in their order, each once."""
        ids = dict.fromkeys(item_ids)
        with self.database.read() as connection:
            decided = known(connection, decisions, stream, ids)
        return [each for each in ids if each not in decided]

    def record_draw(
        self, run_id: str, stream: Stream, decisions: Sequence[Decision], drawn: Iterable[DatasetItem]
    ) -> None:
        """Store a draw whole, in one transaction. A first decision stands, and its item as it was then.

        `drawn` is read once, in pieces, inside the transaction: other writers wait for it.

        Raises:
            StoreError: when it cannot be stored, or a drawn item did not come; nothing is stored then.
        """
        at = self._clock()
        with self.database.write() as connection:
            fresh = _insert_decisions(connection, run_id, stream, decisions, at)
            for part in chunks(item for item in drawn if item.id in fresh):
                insert_new(connection, items, [item_row(stream, item, at) for item in part])
                fresh.difference_update(item.id for item in part)
            if fresh:
                raise StoreError(
                    f"{stream}: {len(fresh)} drawn items did not come with the draw, such as {min(fresh)!r}"
                )

    def thin(self, stream: Stream, decisions: Sequence[Decision]) -> None:
        """Decide anew about drawn items that were never tried, in one transaction. What was tried stays as it is."""
        with self.database.write() as connection:
            for part in chunks(decisions):
                connection.execute(THIN, [thin_row(stream, each) for each in part])

    def waiting(self, stream: Stream, max_attempts: int) -> list[str]:
        """The ids of the items that `to_score` gives."""
        with self.database.read() as connection:
            return list(connection.scalars(waiting_ids(stream, max_attempts)))

    def drawn(self, stream: Stream, item_ids: Sequence[str]) -> list[DrawnItem]:
        """Those of these items that are not finished, in the order of the ids."""
        with self.database.read() as connection:
            return drawn_items(connection, stream, item_ids)

    def drawn_with(self, stream: Stream, item_ids: Sequence[str]) -> int:
        """How many scores are stored of the draws that these items came with, theirs among them."""
        with self.database.read() as connection:
            return scores_drawn_with(connection, stream, item_ids)

    def to_score(self, stream: Stream, max_attempts: int) -> Iterator[DrawnItem]:
        """Drawn items that are not finished, oldest draw first, each once, in bounded memory.

        Results may be saved while it is read. Items that failed `max_attempts` times are left out.
        """
        after: tuple[Any, str] | None = None
        while True:
            with self.database.read() as connection:
                page = connection.execute(waiting_page(stream, max_attempts, after)).all()
                have = rows_by_item(connection, scores, stream, [row.item_id for row in page])
            for row in page:
                scored = tuple(score_of(score) for score in have.get(row.item_id, ()))
                yield DrawnItem(item_of(row), decision_of(row), scored, row.attempts)
            if len(page) < PAGE:
                return
            after = (page[-1].decided_at, page[-1].item_id)

    def save_results(self, run_id: str, stream: Stream, results: Sequence[ItemResult]) -> None:
        """Store scores and failures in one transaction; an item without failures is finished by it.

        A score once stored stays as it is. A failure counts one attempt. Published items stay published.
        """
        at = self._clock()
        failing = [each for each in results if each.failures]
        with self.database.write() as connection:
            for part in chunks(results):
                insert_new(connection, scores, [row for each in part for row in score_rows(stream, each, run_id, at)])
            tried = _attempts(connection, stream, [each.item.id for each in failing])
            rows = (
                failure_row(stream, failure, run_id, tried.get(each.item.id, 0) + 1, at)
                for each in failing
                for failure in each.failures
            )
            for piece in chunks(rows):
                insert_new(connection, failures, piece)
            _advance(connection, stream, results)

    def give_up(self, stream: Stream, max_attempts: int) -> int:
        """Finish items that failed `max_attempts` times or more: they go on with what they have. How many they were."""
        with self.database.write() as connection:
            return connection.execute(tired(stream, max_attempts)).rowcount

    def next_batch(self, run: RunReport, size: int) -> Batch | None:
        """The batch left open by a crash, with the same id and contents, else one of up to `size` finished items."""
        stream = run.stream
        with self.database.write() as connection:
            batch_id, ids = _open_batch(connection, stream) or _new_batch(connection, run, size)
            if not ids:
                return None
            found = {each: item_of(rows[0]) for each, rows in rows_by_item(connection, items, stream, ids).items()}
            made = rows_by_item(connection, scores, stream, ids)
            missed = rows_by_item(connection, failures, stream, ids)
            absent = rows_by_item(connection, decisions, stream, ids, decisions.c.not_applicable.is_not(None))
        return Batch(
            id=batch_id,
            stream=stream,
            results=tuple(
                ItemResult(
                    found[each],
                    tuple(score_of(row) for row in newest_scores(made.get(each, []))),
                    tuple(failure_of(row) for row in standing_failures(missed.get(each, []), made.get(each, []))),
                    tuple(absent[each][0].not_applicable) if each in absent else (),
                )
                for each in ids
            ),
            run=run,
        )

    def close_batch(self, batch: Batch, at: datetime) -> None:
        """Mark the batch's items as published at `at`; closing twice is harmless."""
        mine = sa.update(decisions).where(batched(batch.stream, batch.id))
        with self.database.write() as connection:
            connection.execute(mine.values(state="published", marked_at=at))

    def lock(self, stream: Stream, wait: float) -> AbstractContextManager[None]:
        """Hold the stream for one run; waits up to `wait` seconds, and a killed holder's lock is freed with it.

        Raises:
            BusyError: when another run holds it for longer, naming its process and since when.
        """
        return stream_lock(self.database, stream, wait, self._clock)


def _insert_decisions(
    connection: sa.Connection, run_id: str, stream: Stream, made: Sequence[Decision], at: datetime
) -> set[str]:
    """Insert the decisions that are first of their item; the ids of those drawn among them."""
    before = known(connection, decisions, stream, (each.item_id for each in made))
    first = {each.item_id: each for each in reversed(made) if each.item_id not in before}
    rows = (
        {
            **key(stream, each.item_id),
            "run_id": run_id,
            "drawn": each.drawn,
            "probability": each.probability,
            "strategy": each.strategy,
            "stratum": each.stratum,
            "decided_at": at,
            "state": "drawn" if each.drawn else "undrawn",
            "attempts": 0,
        }
        for each in first.values()
    )
    for part in chunks(rows):
        insert_new(connection, decisions, part)
    return {each.item_id for each in first.values() if each.drawn}


def _attempts(connection: sa.Connection, stream: Stream, ids: Sequence[str]) -> dict[str, int]:
    found = rows_by_item(connection, decisions, stream, ids)
    return {each: rows[0].attempts for each, rows in found.items()}


def _advance(connection: sa.Connection, stream: Stream, results: Sequence[ItemResult]) -> None:
    """Move the items to the state that their results put them in, those of one outcome together."""
    groups: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for each in results:
        groups.setdefault((bool(each.failures), each.not_applicable), []).append(each.item.id)
    for (failed, absent), ids in groups.items():
        change = {"state": "failed", "attempts": decisions.c.attempts + 1} if failed else {"state": "scored"}
        for part in chunks(ids):
            where = sa.and_(of(decisions, stream), WAITING, decisions.c.item_id.in_(part))
            connection.execute(
                sa.update(decisions).where(where).values(not_applicable=list(absent) or sa.null(), **change)
            )


def tired(stream: Stream, max_attempts: int) -> sa.Update:
    """The statement that finishes items that failed too often."""
    failed = sa.and_(of(decisions, stream), WAITING, dated(), decisions.c.attempts >= max_attempts)
    return sa.update(decisions).where(failed).values(state="scored")


def batched(stream: Stream, batch_id: str | None) -> sa.ColumnElement[bool]:
    """Finished items that wait in a batch, or (None) for one."""
    mine = decisions.c.batch_id.is_(None) if batch_id is None else decisions.c.batch_id == batch_id
    return sa.and_(of(decisions, stream), FINISHED, mine)


def _open_batch(connection: sa.Connection, stream: Stream) -> tuple[str, list[str]] | None:
    oldest = sa.select(sa.func.min(decisions.c.batch_id))
    batch_id = connection.scalar(oldest.where(of(decisions, stream), FINISHED, decisions.c.batch_id.is_not(None)))
    if batch_id is None:
        return None
    ids = sa.select(decisions.c.item_id).where(batched(stream, batch_id)).order_by(decisions.c.item_id)
    return batch_id, list(connection.scalars(ids))


def _new_batch(connection: sa.Connection, run: RunReport, size: int) -> tuple[str, list[str]]:
    """Give up to `size` finished items, in the order of their ids, to a new batch."""
    free = sa.select(decisions.c.item_id).where(batched(run.stream, None)).order_by(decisions.c.item_id).limit(size)
    ids = list(connection.scalars(free))
    batch_id = stable_id("batch", run.stream, run.run_id, ids)
    for part in chunks(ids):
        where = sa.and_(of(decisions, run.stream), FINISHED, decisions.c.item_id.in_(part))
        connection.execute(sa.update(decisions).where(where).values(batch_id=batch_id))
    return batch_id, ids
