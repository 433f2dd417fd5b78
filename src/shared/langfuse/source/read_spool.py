"""Spools the rows of a read to a file, so that memory stays bounded and an interrupted read can be resumed.

The file holds raw text. Only its owner can read it; it is removed when the read is done, and after a day at the latest.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from shared.core.clock import iso, parse_time
from shared.core.errors import BadAnswer, StoreError
from shared.core.private_files import make_private_folder
from shared.langfuse.api.read_queries import Row

_SWEPT_AFTER = 86_400.0
_SCHEMA = """
create table if not exists rows (trace text, first real, last real, body blob);
create table if not exists picked (id text primary key);
create table if not exists progress (kind text primary key, covered text, low text, high text, resume text);
"""
_OUTLINE = """
select trace, min(first), max(last) from rows group by trace order by max(first) desc, trace
"""


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far a read has come: [covered, low) is done or scheduled, [low, high) is being read and goes on at `resume`
    (None: done). None as a bound is open.
    """

    covered: datetime | None
    low: datetime | None
    high: datetime
    resume: str | None


class TraceOutline(NamedTuple):
    """A trace in the spool: its first start and last end, in Unix seconds."""

    id: str
    first: float
    last: float


class Spool:
    """One read's rows and picked ids. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or a file in the temporary folder where another process holds it.

        Raises:
            StoreError: when neither can be written.
        """
        try:
            make_private_folder(path.parent)
            _sweep(path.parent)
            self._path = path
            self._db = _open_locked(path) or self._open_temporary()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: rows cannot be put aside: {error}") from error

    def _open_temporary(self) -> sqlite3.Connection:
        handle, name = tempfile.mkstemp(suffix=".reading")
        os.close(handle)
        self._path = Path(name)
        found = _open_locked(self._path)
        assert found is not None
        return found

    def progress(self, kind: str) -> ReadProgress | None:
        """How far the read of that kind has come; None when it was never begun."""
        found = self._db.execute("select covered, low, high, resume from progress where kind = ?", (kind,)).fetchone()
        if found is None:
            return None
        covered, low, high = (None if text is None else parse_time(text) for text in found[:3])
        assert high is not None
        return ReadProgress(covered, low, high, found[3])

    def add_rows(self, rows: Iterable[Row], progress: ReadProgress) -> None:
        """Store a page of rows and the progress, both or neither."""
        values = [(row["traceId"], *row_times(row), to_json(row)) for row in rows if row.get("traceId")]
        self._write("rows", "insert into rows values (?, ?, ?, ?)", values, progress)

    def add_picked(self, ids: Iterable[str], progress: ReadProgress) -> None:
        """Store the ids of a page and the progress, both or neither."""
        self._write("picked", "insert or ignore into picked values (?)", [(each,) for each in ids], progress)

    def _write(self, kind: str, statement: str, values: list[Any], progress: ReadProgress) -> None:
        covered, low, high = (None if at is None else iso(at) for at in (progress.covered, progress.low, progress.high))
        try:
            with self._db:
                self._db.executemany(statement, values)
                self._db.execute(
                    "insert or replace into progress values (?, ?, ?, ?, ?)",
                    (kind, covered, low, high, progress.resume),
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: rows cannot be put aside: {error}; free some space") from error

    def picked_ids(self) -> list[str]:
        """The picked ids, in order of arrival."""
        return [each for (each,) in self._db.execute("select id from picked order by rowid")]

    def outlines(self) -> Iterator[TraceOutline]:
        """Traces, the newest first."""
        self._db.execute("create index if not exists rows_trace on rows (trace, first, last)")
        for found in self._db.execute(_OUTLINE):
            yield TraceOutline(*found)

    def rows(self, trace: str) -> list[Row]:
        """The rows of a trace, in order of arrival."""
        return [from_json(body) for (body,) in self._db.execute("select body from rows where trace = ?", (trace,))]

    def forget(self) -> None:
        """Delete everything: it belongs to a read that is too old to be resumed."""
        with self._db:
            for table in ("rows", "picked", "progress"):
                self._db.execute(f"delete from {table}")

    def close(self, keep: bool) -> None:
        """Close the file, and remove it unless a later read may resume it."""
        begun = self._db.execute("select count(*) from progress").fetchone()[0]
        self._db.close()
        if not (keep and begun):
            _remove(self._path)


def row_times(row: Row) -> tuple[float, float]:
    """A row's start and end in Unix seconds; the start twice where it has no end.

    Raises:
        BadAnswer: when one of them is not a time.
    """
    try:
        first = parse_time(row["startTime"]).timestamp()
        end = row.get("endTime")
        return first, max(first, parse_time(end).timestamp()) if end else first
    except ValueError as error:
        raise BadAnswer(f"observation {row.get('id')} of trace {row.get('traceId')}: {error}") from error


def _open_locked(path: Path) -> sqlite3.Connection | None:
    """A connection that locks the file; None where another process has locked it. A damaged file is replaced."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    for _ in range(2):
        db = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            db.execute("pragma locking_mode = exclusive")
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = off")  # a killed process loses nothing by it; after a power cut, read anew
            db.executescript(_SCHEMA)
            return db
        except sqlite3.OperationalError as error:
            db.close()
            if "locked" in str(error):
                return None
            raise
        except sqlite3.DatabaseError:
            db.close()
            _remove(path)
    raise sqlite3.DatabaseError("the file is damaged and cannot be replaced")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove files of reads that were never resumed."""
    for each in folder.glob("langfuse-*.reading"):
        if time.time() - each.stat().st_mtime > _SWEPT_AFTER:
            _remove(each)
