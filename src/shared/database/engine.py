"""Opening a database: create it or bring it to the newest schema, and put its errors into words.

SQLite runs in WAL mode, so that a reader never waits for a writer, with `synchronous=FULL`: every commit reaches the
disk before a method returns. NORMAL would also survive a killed process, but a power cut could take back the last
commits, and with them a mark whose score has been published. A run commits a few times per thousand items, so the
difference is a few milliseconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import ArgumentError, StatementError

from shared.core.errors import StoreError
from shared.database.tables import HEAD

BUSY_SECONDS = 60.0
"""How long a statement waits for another process's write before it gives up."""

_WORDS = {
    "database or disk is full": ("the disk is full", "free some space and run again; what was stored before is kept"),
    "disk i/o error": ("the disk refused to read or write", "check the disk and its free space, then run again"),
    "database is locked": (
        f"another process has been writing for more than {BUSY_SECONDS:.0f} s",
        "wait for it or end it, then run again",
    ),
    "readonly database": ("the file cannot be written", "make the file and its folder writable"),
    "unable to open database file": (
        "the file cannot be opened or created",
        "make sure that its folder exists and is writable, and that the path is not a folder",
    ),
    "file is not a database": (
        "the file is no SQLite database",
        "point to another path, or move the file away; nothing in it was changed",
    ),
    "malformed": (
        "the database is damaged",
        "restore a copy, or try `sqlite3 FILE .recover`; Trueline does not go on, so as not to score all again",
    ),
    "already exists": (
        "there are tables of the same names that are not Trueline's",
        "point to a database of its own",
    ),
    "no such": ("the tables are not those of this version", "restore a copy, or point to another database"),
}


@dataclass(frozen=True, slots=True)
class Database:
    """An open database at the newest schema. `path` is its file, absolute."""

    engine: sa.Engine
    path: Path

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that may write, whole or not at all, durable when the block ends.

        Raises:
            StoreError: when the database cannot be read or written.
        """
        with worded(self.path), self.engine.connect() as plain:
            connection = plain.execution_options(trueline_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One transaction that reads: a single moment's state, whatever others write meanwhile.

        Raises:
            StoreError: when the database cannot be read.
        """
        with worded(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give back every connection; the object must not be used afterwards."""
        self.engine.dispose()


@contextmanager
def worded(path: Path) -> Iterator[None]:
    """Turn the database's errors into a `StoreError` that names the file, what was found and what to do."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise StoreError(f"{path}: {error.object[:80]!r} is not valid Unicode and cannot be stored as an id") from error
    except (StatementError, sqlite3.Error) as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        found, cure = next((words for sign, words in _WORDS.items() if sign in said.lower()), ("", ""))
        raise StoreError(f"{path}: {found} ({said}); {cure}." if found else f"{path}: {said}") from error


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Turn the file system's errors around a database's file into a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"{path}: cannot be used ({why}); make sure that its folder can be written.") from error


def open_database(path_or_url: str | os.PathLike[str]) -> Database:
    """Open a database, creating the file and its folders, and bring it to the newest schema.

    Takes a path, or a URL such as `sqlite:///data/state.db`. Two processes may open a fresh one at once.

    Raises:
        StoreError: when it cannot be created, read or written, is no database, or is from a newer version.
    """
    path = _path(path_or_url)
    with worded(path), reachable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = _engine(path)
        try:
            with FileLock(f"{path}.open.lock", timeout=BUSY_SECONDS):
                _prepare(engine, path)
        except Timeout as error:
            engine.dispose()
            raise StoreError(f"{path}: another process has been opening it for {BUSY_SECONDS:.0f} s.") from error
        except BaseException:
            engine.dispose()
            raise
    return Database(engine, path)


def _path(path_or_url: str | os.PathLike[str]) -> Path:
    text = os.fspath(path_or_url)
    if "://" in text:
        try:
            url = sa.make_url(text)
        except ArgumentError as error:
            raise StoreError(f"expected a path or a URL such as 'sqlite:///data/state.db', found {text!r}") from error
        if url.get_backend_name() != "sqlite":
            raise StoreError(f"databases of kind {url.get_backend_name()!r} cannot be used here, only SQLite files")
        text = url.database or ""
    if text in ("", ":memory:"):
        raise StoreError("state needs a file, such as 'data/state.db': kept in memory it would be lost with the run")
    return Path(text).absolute()


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS, "isolation_level": None}
    )

    def connected(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]  # the driver's connection, which SQLAlchemy calls Any
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    def begun(connection: sa.Connection) -> None:
        # IMMEDIATE, because a transaction that reads first and writes later is refused when another wrote in between
        writes = connection.get_execution_options().get("trueline_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begun)
    return engine


def _prepare(engine: sa.Engine, path: Path) -> None:
    with engine.connect() as connection:
        connection.connection.execute("PRAGMA journal_mode=WAL")
        known = sa.inspect(connection).has_table("alembic_version")
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if known else None
    if revision == HEAD:
        return
    from shared.database.migrate import known_revisions, upgrade  # Alembic is needed for a new or an old database only

    if revision is not None and revision not in known_revisions():
        raise StoreError(
            f"{path}: the database is from a newer version of Trueline (schema {revision!r}, this version knows up to"
            f" {HEAD!r}); upgrade Trueline, or point to another database."
        )
    with engine.connect() as plain:
        connection = plain.execution_options(trueline_write=True)
        with connection.begin():
            upgrade(connection)
