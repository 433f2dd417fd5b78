"""SQLite files: WAL mode, so that a reader never waits for a writer, with `synchronous=FULL`: every commit reaches the
disk before a method returns. NORMAL would also survive a killed process, but a power cut could take back the last
commits, and with them a mark whose score has been published. A run commits a few times per thousand items, so the
difference is a few milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from filelock import FileLock, Timeout

from shared.core.errors import StoreError
from shared.core.private_files import PRIVATE, create_private_file
from shared.database.engine.database_errors import BUSY_SECONDS


def sqlite_engine(path: Path) -> sa.Engine:
    """An engine on a file; its transactions are the write option's IMMEDIATE, or plain ones that read."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS, "isolation_level": None}
    )

    def create_file(*_: object) -> None:
        with suppress(OSError):  # SQLite says what is wrong with the place
            create_private_file(path)  # the files that SQLite makes beside it get the same rights

    sa.event.listen(engine, "do_connect", create_file)
    return _add_listeners(engine)


def reading_engine(path: Path) -> sa.Engine:
    """An engine on a file that cannot be written: it reads, and makes no file beside it."""
    log = path.with_name(path.name + "-wal")
    # Without a log SQLite would make one; whoever could write the file meanwhile, we cannot see.
    whole = "" if log.exists() and log.stat().st_size else "&immutable=1"
    address = f"file:{quote(str(path))}?mode=ro{whole}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True)

    return _add_listeners(sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool))


def _add_listeners(engine: sa.Engine) -> sa.Engine:
    """The engine, with every connection and transaction begin_transaction as here described."""

    def set_pragmas(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]  # the driver's connection, which SQLAlchemy calls Any
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    def begin_transaction(connection: sa.Connection) -> None:
        # IMMEDIATE, because a transaction that reads first and writes later is refused when another wrote in between
        writes = connection.get_execution_options().get("trueline_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", set_pragmas)
    sa.event.listen(engine, "begin", begin_transaction)
    return engine


def prepare_file(path: Path, engine: sa.Engine, prepare: Callable[[sa.Engine], None]) -> None:
    """Bring the file to WAL mode and to the newest schema, while no other process does the same.

    Raises:
        StoreError: when another process has been at it for too long, or the file is there and has zero bytes.
    """
    creating = _creation_marker(path)
    try:
        with FileLock(f"{path}.open.lock", BUSY_SECONDS, PRIVATE):
            refuse_emptied(path)
            if not path.exists():
                creating.touch(PRIVATE)
            with engine.connect() as connection:
                connection.connection.execute("PRAGMA journal_mode=WAL")
            prepare(engine)
            creating.unlink(missing_ok=True)
    except Timeout as error:
        raise StoreError(f"{path}: another process has been opening it for {BUSY_SECONDS:.0f} s.") from error


def refuse_emptied(path: Path) -> None:
    """Refuse a file of zero bytes, which SQLite takes for a new database, unless a killed process began to create it.

    Raises:
        StoreError: for such a file.
    """
    if path.exists() and not path.stat().st_size and not _creation_marker(path).exists():
        raise StoreError(
            f"{path}: the database file is there and has zero bytes, so what it held is lost; restore a copy, or delete"
            " the file to start with new state. Trueline does not go on, so as not to score all again"
        )


def _creation_marker(path: Path) -> Path:
    """The file that lies beside a database while it is created."""
    return path.with_name(path.name + ".creating")
