"""One run at a time for each stream: a lock of the operating system, which a killed process gives back."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from shared.core.clock import Clock, iso
from shared.core.errors import BusyError
from shared.core.results import Stream
from shared.database.engine.database import Database
from shared.database.engine.database_errors import file_errors_as_store_errors
from shared.database.engine.lock_names import lock_name


@contextmanager
def lock_stream(database: Database, stream: Stream, wait: float, clock: Clock) -> Iterator[None]:
    """Hold a stream. Of a file, waiting up to `wait` seconds, by a lock whose files stand beside it; of a server, by a
    lock of the server, without waiting.

    Raises:
        BusyError: when another run holds it for longer, naming that run's process and when it began.
        StoreError: when the folder cannot be written, or the server cannot be reached.
    """
    if database.path is not None:
        with _file_lock(database.path, stream, wait, clock):
            yield
        return
    from shared.database.engine.postgres import advisory_lock  # late: files need no server

    with advisory_lock(database.engine, database.place, stream, clock):
        yield


@contextmanager
def _file_lock(database: Path, stream: Stream, wait: float, clock: Clock) -> Iterator[None]:
    name = f"{database}.{lock_name(stream)[:16]}"
    holder = Path(f"{name}.holder")
    lock = FileLock(f"{name}.lock", timeout=max(0.0, wait))
    with file_errors_as_store_errors(database):
        try:
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"{stream}: another run holds it ({_describe_holder(holder)}); waited {max(0.0, wait):g} s. Let it"
                " finish, or end that process: its lock is freed with it."
            ) from error
    try:
        with file_errors_as_store_errors(database):
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": iso(clock())}
            holder.write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe_holder(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it was taken a moment ago: the note is not written yet
        return "a process that began just now"
