"""The databases' errors in words: where, what was found, what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import StatementError, TimeoutError

from shared.core.errors import StoreError

BUSY_SECONDS = 60.0
"""How long a statement waits for another process's write before it gives up."""


@dataclass(frozen=True, slots=True)
class _KnownError:
    """An error of a database in words, and how it is recognised: by its code, or where the driver gives none that is
    clear, by a part of its message."""

    found: str
    remedy: str
    codes: tuple[int | str, ...] = ()
    messages: tuple[str, ...] = ()


_RUN_AGAIN = "run again; what was stored before is kept"
_FREE_SPACE = "free some space and run again; what was stored before is kept"
_BUSY = f"another process has been writing for more than {BUSY_SECONDS:.0f} s"
_END_WRITER = "wait for it or end it, then run again"
_FOREIGN = "there are tables of the same names that are not Trueline's"

_SQLITE = (
    _KnownError("the disk is full", _FREE_SPACE, (sqlite3.SQLITE_FULL,)),
    _KnownError(
        "the disk refused to read or write",
        "check the disk and its free space, then run again",
        (sqlite3.SQLITE_IOERR,),
    ),
    _KnownError(_BUSY, _END_WRITER, (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)),
    _KnownError("the file cannot be written", "make the file and its folder writable", (sqlite3.SQLITE_READONLY,)),
    _KnownError(
        "the file cannot be opened or created",
        "make sure that its folder exists and is writable, and that the path is not a folder",
        (sqlite3.SQLITE_CANTOPEN,),
    ),
    _KnownError(
        "the file is no SQLite database",
        "point to another path, or move the file away; nothing in it was changed",
        (sqlite3.SQLITE_NOTADB,),
    ),
    _KnownError(
        "the database is damaged",
        "restore a copy, or try `sqlite3 FILE .recover`; Trueline does not go on, so as not to score all again",
        (sqlite3.SQLITE_CORRUPT,),
        ("malformed",),
    ),
    _KnownError(_FOREIGN, "point to a database of its own", (), ("already exists",)),
    _KnownError(
        "the tables are not those of this version", "restore a copy, or point to another database", (), ("no such",)
    ),
)

_POSTGRES = (
    _KnownError(
        "the server refuses user or password",
        "check the connection's user and password",
        ("28P01",),
        ("password authentication failed",),
    ),
    _KnownError(
        "no server answers there",
        "start it, or correct host and port",
        (),
        ("connection refused", "no such file or directory"),
    ),
    _KnownError(
        "the server is starting or stopping",
        "run again in a moment; what was stored is kept",
        ("57P03",),
        ("database system is",),
    ),
    _KnownError(
        "the server has no connection left",
        "run fewer things at once, or raise max_connections",
        ("53300",),
        ("too many clients",),
    ),
    _KnownError("the server has no connection left", "run fewer things at once", (), ("remaining connection slots",)),
    _KnownError(
        "the host is not known",
        "correct the host's name",
        (),
        ("could not translate host name", "failed to resolve host"),
    ),
    _KnownError(
        "the server did not answer in time", "check host, port and firewall, then run again", (), ("timeout expired",)
    ),
    _KnownError(
        "what was asked for is not there",
        "create the database, or restore Trueline's tables",
        ("3D000", "42P01", "42703"),
        ("does not exist",),
    ),
    _KnownError(
        "the user may not do that",
        "grant the user the right to create and write tables",
        ("42501",),
        ("permission denied",),
    ),
    _KnownError("the server ended the connection", _RUN_AGAIN, ("57P01",), ("terminating connection",)),
    _KnownError(
        "the server went away",
        _RUN_AGAIN,
        (),
        ("server closed the connection", "connection is closed", "connection is lost"),
    ),
    _KnownError("the connection was lost", _RUN_AGAIN, (), ("consuming input failed",)),
    _KnownError(_BUSY, _END_WRITER, ("55P03",), ("lock timeout",)),
    _KnownError("the server's disk is full", _FREE_SPACE, ("53100",), ("no space left",)),
    _KnownError(_FOREIGN, "point to a database or schema of its own", ("42P07",), ("already exists",)),
    _KnownError(
        "the server takes no writes",
        "point to its primary, or let it take writes",
        ("25006",),
        ("read-only transaction",),
    ),
    _KnownError(
        "a name is too long for a key", "shorten the names of monitor, source, metrics and sinks", (), ("index row",)
    ),
)


@contextmanager
def as_store_errors(place: str) -> Iterator[None]:
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
        original = getattr(error, "orig", None) or error
        message = " ".join(str(original).split()).partition(" CONTEXT: ")[0]  # of COPY it may be the whole row
        known = _find_known(_POSTGRES if place.startswith("postgresql") else _SQLITE, original, message.lower())
        text = f"{place}: {message}" if known is None else f"{place}: {known.found} ({message}); {known.remedy}."
        raise StoreError(text) from error


@contextmanager
def file_errors_as_store_errors(path: Path) -> Iterator[None]:
    """Turn the file system's errors around a database's file into a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"{path}: cannot be used ({why}); make sure that its folder can be written.") from error


def _find_known(errors: Sequence[_KnownError], error: BaseException, message: str) -> _KnownError | None:
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
    by_code = next((each for each in errors if code in each.codes), None)
    return by_code or next((each for each in errors if any(part in message for part in each.messages)), None)
