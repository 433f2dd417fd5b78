"""`RunStore` on a database: what was drawn, scored and published, each step in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock, utc_now
from shared.core.errors import StoreError
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, RunReport, Stream
from shared.core.state.claims import Claims, DrawnItem, DrawResult
from shared.core.state.item_history import PassedOver
from shared.database.engine.database import Database
from shared.database.engine.lease_owner import new_owner
from shared.database.engine.row_mapping import (
    chunks,
    decision_of,
    insert_new,
    inserting,
    item_of,
    item_row,
    known,
    of,
    rows_by_item,
    score_of,
)
from shared.database.runs.finished_samples import claim_report, finished_draws, results_of
from shared.database.runs.report_rows import run_row
from shared.database.runs.run_reader import PAGE, SqlRunReader, dated
from shared.database.runs.save_results import Saving, store
from shared.database.runs.skipped_items import finish_elsewhere, note, note_waiting
from shared.database.runs.sql_claims import SqlClaims
from shared.database.runs.sql_outbox import SqlOutbox
from shared.database.runs.stream_lock import stream_lock
from shared.database.runs.unfinished_items import (
    THIN,
    drawn_items,
    scores_drawn_with,
    thin_row,
    waiting_ids,
    waiting_page,
)
from shared.database.runs.worker_leases import at_work
from shared.database.schema.tables import WAITING, decisions, items, runs, scores
from shared.database.schema.worker_tables import draws, workers


class SqlRunStore(SqlOutbox, SqlRunReader):
    """`RunStore` on `database` (see `core/ports.py` for its promises), the `RunReader` of what it wrote, and the
    `OutboxStore` of what is published of it.

    `clock` dates what is stored. Streams never meet: every row is keyed by the stream. Several processes may use one
    database; for one stream they take turns through `lock`. Every method raises `StoreError` when the database
    cannot be read or written; what was stored before stays.
    """

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        super().__init__(database)
        self._clock = clock
        self.owner = new_owner()

    def start_run(self, report: RunReport) -> None:
        """Write the run's row; writing it again replaces it. Killed runs of the stream are no longer running."""
        with self.database.write() as connection:
            _write_run(connection, report)

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
            if fresh:
                draw = {"source_key": stream.source_key, "monitor_key": stream.monitor_key, "run_id": run_id}
                insert_new(connection, draws, [draw | {"drawn": len(fresh), "drawn_at": at}])
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
                yield DrawnItem(item_of(row), decision_of(row), scored, row.attempts, row.run_id)
            if len(page) < PAGE:
                return
            after = (page[-1].decided_at, page[-1].item_id)

    def save_results(
        self, run_id: str, stream: Stream, results: Sequence[ItemResult], by: str = "", published: bool = False
    ) -> set[str]:
        """Store scores and failures in one transaction; an item without failures is finished by it, or `published`.

        A score once stored stays as it is. A failure counts one attempt. Published items stay published. What a worker
        (`by`) has lost is stored only while nothing else of it is. The ids of the items that were stored.
        """
        with self.database.write() as connection:
            return store(connection, Saving(stream, run_id, self._clock(), by, published), results)

    def at_work(self, stream: Stream, run_id: str, max_attempts: int) -> AbstractContextManager[Claims]:
        """While it is entered the run is a worker of the stream, with a lease that is renewed all the time."""
        return self._at_work(stream, run_id, max_attempts)

    @contextmanager
    def _at_work(self, stream: Stream, run_id: str, max_attempts: int) -> Iterator[Claims]:
        with at_work(self.database, stream, run_id) as worker:
            yield SqlClaims(self.database, worker, max_attempts)

    def give_up(self, stream: Stream, max_attempts: int, by: str = "") -> int:
        """Finish items that failed `max_attempts` times or more and that no other worker has: they go on with what they
        have. How many they were."""
        with self.database.write() as connection:
            return connection.execute(tired(stream, max_attempts, by)).rowcount

    def pass_over(self, run_id: str, stream: Stream, passed: Sequence[PassedOver]) -> None:
        """Note what was left out without a decision, in one transaction; what is noted already stays as it is."""
        with self.database.write() as connection:
            note(connection, stream, run_id, passed, self._clock())

    def out_of_budget(self, run_id: str, stream: Stream, by: str) -> None:
        """Note of the items that wait, those of other workers left out, that the run had no budget left for them."""
        with self.database.write() as connection:
            note_waiting(connection, stream, run_id, by, self._clock())

    def done_elsewhere(self, run_id: str, stream: Stream, item_ids: Sequence[str]) -> None:
        """Finish waiting items that another database's run has marked."""
        at = self._clock()
        with self.database.write() as connection:
            finish_elsewhere(connection, stream, item_ids, at)
            note(connection, stream, run_id, [PassedOver(each, "elsewhere") for each in item_ids], at)

    def finished_draws(self, stream: Stream, draws: Iterable[str], by: str) -> dict[str, int]:
        """Those of these draws of which every item was tried and that no run has reported, with how many they drew; of
        all draws when no worker but `by` is there."""
        return finished_draws(self.database, stream, draws, by)

    def results_of(self, stream: Stream, draws: Iterable[str]) -> Iterator[DrawResult]:
        """All that was tried of these draws, by item id, in bounded memory."""
        return results_of(self.database, stream, draws)

    def report_draws(self, report: RunReport, draws: Iterable[str]) -> bool:
        """Write the run's end with its estimates of these draws, unless another run has reported one of them."""
        with self.database.write() as connection:
            free = claim_report(connection, report.stream, draws, report.run_id)
            if free:
                _write_run(connection, report)
            return free

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
    first = {each.item_id: each for each in reversed(made)}
    source, monitor, new = stream.source_key, stream.monitor_key, 0
    for part in chunks(first.values()):
        rows: list[dict[str, Any]] = [
            {
                "source_key": source,
                "monitor_key": monitor,
                "item_id": each.item_id,
                "run_id": run_id,
                "drawn": each.drawn,
                "probability": each.probability,
                "strategy": each.strategy,
                "stratum": each.stratum,
                "decided_at": at,
                "state": "drawn" if each.drawn else "undrawn",
                "attempts": 0,
            }
            for each in part
        ]
        new += insert_new(connection, decisions, rows)
    drawn = {each.item_id for each in first.values() if each.drawn}
    if new == len(first):
        return drawn
    return known(connection, decisions, stream, drawn, decisions.c.run_id == run_id, decisions.c.decided_at == at)


def _write_run(connection: sa.Connection, report: RunReport) -> None:
    row, stream = run_row(report), report.stream
    alive = sa.select(workers.c.run_id).where(of(workers, stream))
    killed = sa.update(runs).where(of(runs, stream), runs.c.status == "running", runs.c.run_id != report.run_id)
    connection.execute(killed.where(runs.c.run_id.not_in(alive)).values(status="interrupted"))
    insert = inserting(connection, runs)
    connection.execute(insert.on_conflict_do_update(index_elements=[runs.c.run_id], set_=row), row)


def tired(stream: Stream, max_attempts: int, by: str = "") -> sa.Update:
    """The statement that finishes items that failed too often, those of other workers left out."""
    free = sa.or_(decisions.c.claimed_by.is_(None), decisions.c.claimed_by == by)
    failed = sa.and_(of(decisions, stream), WAITING, dated(), decisions.c.attempts >= max_attempts, free)
    return sa.update(decisions).where(failed).values(state="scored")
