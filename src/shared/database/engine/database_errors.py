"""The databases' errors in words: where, what was found, what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import StatementError, TimeoutError

from shared.core.errors import StoreError

BUSY_SECONDS = 60.0
"""How long a statement waits for another process's write before it gives up."""

_SQLITE = {
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

_POSTGRES = {
    "password authentication failed": (
        "the server refuses user or password",
        "check the connection's user and password",
    ),
    "connection refused": ("no server answers there", "start it, or correct host and port"),
    "no such file or directory": ("no server answers there", "start it, or correct host and port"),
    "database system is": ("the server is starting or stopping", "run again in a moment; what was stored is kept"),
    "too many clients": ("the server has no connection left", "run fewer things at once, or raise max_connections"),
    "remaining connection slots": ("the server has no connection left", "run fewer things at once"),
    "could not translate host name": ("the host is not known", "correct the host's name"),
    "failed to resolve host": ("the host is not known", "correct the host's name"),
    "timeout expired": ("the server did not answer in time", "check host, port and firewall, then run again"),
    "does not exist": ("what was asked for is not there", "create the database, or restore Trueline's tables"),
    "permission denied": ("the user may not do that", "grant the user the right to create and write tables"),
    "terminating connection": ("the server ended the connection", "run again; what was stored before is kept"),
    "server closed the connection": ("the server went away", "run again; what was stored before is kept"),
    "connection is closed": ("the server went away", "run again; what was stored before is kept"),
    "connection is lost": ("the server went away", "run again; what was stored before is kept"),
    "consuming input failed": ("the connection was lost", "run again; what was stored before is kept"),
    "lock timeout": (
        f"another process has been writing for more than {BUSY_SECONDS:.0f} s",
        "wait for it or end it, then run again",
    ),
    "no space left": ("the server's disk is full", "free some space and run again; what was stored before is kept"),
    "already exists": (
        "there are tables of the same names that are not Trueline's",
        "point to a database or schema of its own",
    ),
    "read-only transaction": ("the server takes no writes", "point to its primary, or let it take writes"),
    "index row": ("a name is too long for a key", "shorten the names of monitor, source, metrics and sinks"),
}


@contextmanager
def worded(place: str) -> Iterator[None]:
    """Turn the database's errors into a `StoreError` that names the place, what was found and what to do."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{place}: {error.object[:80]!r} is not valid Unicode and cannot be stored as an id"
        ) from error
    except TimeoutError as error:
        raise StoreError(
            f"{place}: no connection was free for {BUSY_SECONDS:.0f} s; run fewer things at once."
        ) from error
    except (StatementError, sqlite3.Error) as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        said = said.partition(" CONTEXT: ")[0]  # of COPY it may be the whole row
        known = _POSTGRES if place.startswith("postgresql") else _SQLITE
        found, cure = next((words for sign, words in known.items() if sign in said.lower()), ("", ""))
        raise StoreError(f"{place}: {found} ({said}); {cure}." if found else f"{place}: {said}") from error


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Turn the file system's errors around a database's file into a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"{path}: cannot be used ({why}); make sure that its folder can be written.") from error
