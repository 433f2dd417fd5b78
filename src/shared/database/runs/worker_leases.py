"""Who is at work on a stream: a row with a lease in the database, and a lock that a process loses with its life."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from shared.core.clock import utc_now
from shared.core.errors import StoreError
from shared.core.results import Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import in_stream, insert_new
from shared.database.runs.conditions import hint_open_index
from shared.database.runs.process_locks import has_died, hold_life_lock, remove_stale_locks
from shared.database.schema.tables import WAITING, decisions, workers

LEASE = timedelta(seconds=120)
"""How long a worker that is silent keeps its items."""

_BEAT = 30.0  # seconds between two times that a worker says that it lives


@dataclass(frozen=True, slots=True)
class Worker:
    """One run at work: its name in stored state, and since when."""

    name: str
    stream: Stream
    run_id: str
    since: datetime


def server_time(connection: sa.Connection) -> datetime:
    """The present moment by one clock for all workers: the server's, or this machine's where the state is a file."""
    if connection.dialect.name == "sqlite":
        return utc_now()
    found: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return found


@contextmanager
def join_stream(database: Database, stream: Stream, run_id: str) -> Iterator[Worker]:
    """Be a worker of the stream until the block ends; what it has not finished is free then. Workers that were killed
    are cleared away first.

    Raises:
        StoreError: when the state cannot be used.
    """
    name = f"{run_id}/{uuid4().hex[:12]}"
    with ExitStack() as stack:
        stack.enter_context(hold_life_lock(database, name))
        with database.write() as connection:
            since = server_time(connection)
            worker = Worker(name, stream, run_id, since)
            renew_lease(connection, worker)
        stop = threading.Event()
        beating = threading.Thread(
            target=_keep_renewing, args=(database, worker, stop), name="trueline-lease", daemon=True
        )
        beating.start()
        try:
            free_dead_claims(database, worker)
            yield worker
        finally:
            stop.set()
            beating.join()
            with suppress(StoreError), database.write() as connection:  # else the next worker clears it away
                _remove_worker(connection, stream, name)


def renew_lease(connection: sa.Connection, worker: Worker) -> None:
    """Renew the worker's lease, or give it one anew after it was taken for dead; its row is locked until the end of
    the transaction, so that nobody takes it for dead meanwhile."""
    until = server_time(connection) + LEASE
    mine = sa.update(workers).where(workers.c.worker == worker.name).values(leased_until=until)
    if not connection.execute(mine).rowcount:
        row = {
            "worker": worker.name,
            "source_key": worker.stream.source_key,
            "monitor_key": worker.stream.monitor_key,
            "run_id": worker.run_id,
            "since": worker.since,
            "leased_until": until,
        }
        insert_new(connection, workers, [row])  # the thread that renews the lease may do the same


def free_dead_claims(database: Database, worker: Worker) -> int:
    """Free what dead workers of the stream had: those whose process has gone, or whose lease has ended; how many."""
    with database.read() as connection:
        others = other_workers(connection, worker)
        late = {name for name, until in others.items() if until < server_time(connection)}
    dead = 0
    remove_stale_locks(database, {*others, worker.name})
    for name in others:
        with database.write() as connection:
            if not (has_died(database, connection, name) or name in late):
                continue
            still = sa.select(workers.c.leased_until).where(workers.c.worker == name).with_for_update()
            until = connection.scalar(still)
            if until is None or (name in late and until >= server_time(connection)):
                continue  # another has been quicker, or it has spoken meanwhile
            _remove_worker(connection, worker.stream, name)
            dead += 1
    return dead


def other_workers(connection: sa.Connection, worker: Worker) -> dict[str, datetime]:
    """The other workers of the stream, by name, with the ends of their leases."""
    query = sa.select(workers.c.worker, workers.c.leased_until).where(
        in_stream(workers, worker.stream), workers.c.worker != worker.name
    )
    return {name: until for name, until in connection.execute(query)}


def _remove_worker(connection: sa.Connection, stream: Stream, name: str) -> None:
    connection.execute(sa.delete(workers).where(workers.c.worker == name))
    held = sa.and_(in_stream(decisions, stream), WAITING, hint_open_index(), decisions.c.claimed_by == name)
    connection.execute(sa.update(decisions).where(held).values(claimed_by=None))


def _keep_renewing(database: Database, worker: Worker, stop: threading.Event) -> None:
    while not stop.wait(_BEAT):
        with suppress(StoreError), database.write() as connection:  # the run itself meets the error
            renew_lease(connection, worker)
