"""Locks that a process loses with its life: one run at a time for each stream, and a lock for each worker.

Beside a SQLite file they are locks of the operating system, on a server advisory locks of an open transaction: that
works through a pooler too, and a process that is killed gives the lock back with its connection.
"""

from __future__ import annotations

import glob
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import DBAPIError

from shared.core.clock import Clock, iso
from shared.core.digests import digest
from shared.core.errors import BusyError
from shared.core.private_files import PRIVATE, create_private_file
from shared.core.results import Stream
from shared.database.engine.database import Database
from shared.database.engine.database_errors import as_store_errors, file_errors_as_store_errors

T = TypeVar("T")

_HELD = (
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL tcp_keepalives_idle = 20;"
    " SET LOCAL tcp_keepalives_interval = 5; SET LOCAL tcp_keepalives_count = 4"
)
"""For a transaction that holds a lock: the server may not end it for being idle, and gives the lock back 40 seconds
after the holder's machine has vanished, not after hours.
"""

_NO_HOLDER = "a process that began just now"  # it was taken a moment ago: the holder's note is not written yet


def lock_stream(database: Database, stream: Stream, wait: float, clock: Clock) -> AbstractContextManager[None]:
    """Hold a stream until the block ends: beside a file waiting up to `wait` seconds for it, on a server not at all.

    Raises:
        BusyError: when another run holds it for longer, naming that run's process and when it began.
        StoreError: when the folder cannot be written, or the server cannot be reached.
    """
    if database.path is None:
        return _lock_on_server(database, stream, int(_stream_name(stream)[:15], 16), clock)
    return lock_stream_beside(database.path, stream, wait, clock)


def _stream_name(stream: Stream) -> str:
    return digest([stream.source_key, stream.monitor_key])


@contextmanager
def _lock_on_server(database: Database, stream: Stream, key: int, clock: Clock) -> Iterator[None]:
    about = f"process {os.getpid()} on {socket.gethostname()[:20]} since {iso(clock())[:19]}Z"

    def take(connection: sa.Connection) -> str:
        connection.execute(sa.select(sa.func.set_config("application_name", about, True)))
        is_mine = connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(key)))
        return "" if is_mine else _find_holder(connection, key)

    with _hold_transaction(database, take) as holder:
        if holder:
            raise BusyError(f"{stream}: another run holds it ({holder}). Let it finish, or end that process.")
        yield


@contextmanager
def lock_stream_beside(file: Path, stream: Stream, wait: float, clock: Clock) -> Iterator[None]:
    """Hold a stream by a lock beside a file of state; see `lock_stream`."""
    name = f"{file}.{_stream_name(stream)[:16]}"
    holder = Path(f"{name}.holder")
    lock = FileLock(f"{name}.lock", max(0.0, wait), PRIVATE)
    with file_errors_as_store_errors(file):
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"{stream}: another run holds it ({_read_holder(holder)}). Let it finish, or end that process: its lock"
                " is freed with it."
            ) from error
    try:
        with file_errors_as_store_errors(file):
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": iso(clock())}
            create_private_file(holder)
            holder.write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def hold_life_lock(database: Database, worker: str) -> Iterator[None]:
    """Hold the lock that says that this worker's process lives."""
    if database.path is None:
        query = sa.select(sa.func.pg_advisory_xact_lock(_worker_key(worker)))
        with _hold_transaction(database, lambda connection: connection.execute(query)):
            yield
        return
    path = _worker_path(database.path, worker)
    with file_errors_as_store_errors(database.path):
        lock = FileLock(path, mode=PRIVATE)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        path.unlink(missing_ok=True)


def has_died(database: Database, connection: sa.Connection, worker: str) -> bool:
    """Whether the worker's process has gone; while the transaction lasts nobody else finds the same on a server."""
    if database.path is None:
        return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_worker_key(worker)))))
    return _remove_if_free(_worker_path(database.path, worker))


def remove_stale_locks(database: Database, known: set[str]) -> None:
    """Remove the lock files of processes that were killed before they had a row."""
    if database.path is not None:
        mine = {_worker_path(database.path, name) for name in known}
        for path in database.path.parent.glob(f"{glob.escape(database.path.name)}.*.worker"):
            if path not in mine:
                _remove_if_free(path)


@contextmanager
def _hold_transaction(database: Database, take: Callable[[sa.Connection], T]) -> Iterator[T]:
    """Keep a transaction open that `take` has taken a lock in."""
    with ExitStack() as stack:
        with as_store_errors(database.place):
            plain = stack.enter_context(database.engine.connect())
            connection = plain.execution_options(trueline_write=True)
            stack.enter_context(connection.begin())
            connection.exec_driver_sql(_HELD)
            taken = take(connection)
        try:
            yield taken
        finally:
            with suppress(DBAPIError):  # a connection that is gone has given the lock back
                stack.close()


def _find_holder(connection: sa.Connection, key: int) -> str:
    query = """
        SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = :key
    """
    return str(connection.scalar(sa.text(query), {"key": key}) or _NO_HOLDER)


def _read_holder(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return _NO_HOLDER


def _worker_key(worker: str) -> int:
    return int(digest(["worker", worker])[:15], 16)


def _worker_path(database: Path, worker: str) -> Path:
    return Path(f"{database}.{worker.rpartition('/')[2]}.worker")


def _remove_if_free(path: Path) -> bool:
    """Whether nobody holds a lock file; it is removed then."""
    try:
        with FileLock(path, 0, PRIVATE):
            pass
    except Timeout:
        return False
    path.unlink(missing_ok=True)
    return True
