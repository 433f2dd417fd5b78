"""Rows into a table of a user's database, whole or not at all: by COPY into a temporary table and one INSERT from there
on Postgres, by `executemany` on SQLite.

Everything happens in one transaction, the temporary table with it, so a pooler between may mix sessions as it likes.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from shared.core.clock import iso
from shared.core.errors import StoreError
from shared.core.registry import hint
from shared.database.cells import Kind, cell_of, fits
from shared.database.evaluation_keys import keyed
from shared.database.shapes import Shape, add_columns, quoted, shape_of

OnConflict = Literal["error", "do_nothing", "upsert"]
"""What becomes of a row whose key is there already: the upload fails, the older row stays, or the newer one replaces
it (the last one, where an upload holds several).
"""

CHUNK = 20_000
"""Rows in one COPY or `executemany`."""

_STAGE = "trueline_upload"
_COPY_PLACE = re.compile(rf"COPY {_STAGE}, line (\d+), column (\w+)")


class EvaluationUploadError(StoreError):
    """Rows cannot be stored; none of their upload was. The message names table, column and row, counted from 0."""


@dataclass(frozen=True, slots=True)
class Upload:
    """How rows go into a table. `keys` tell rows apart, by default the primary key. A column that the table does not
    have is left out, or with `add_missing` made.
    """

    table: str
    on_conflict: OnConflict = "error"
    keys: tuple[str, ...] = ()
    chunk_size: int = CHUNK
    add_missing: bool = False

    def __post_init__(self) -> None:
        if self.on_conflict not in ("error", "do_nothing", "upsert"):
            raise StoreError(f"on_conflict: expected error, do_nothing or upsert, found {self.on_conflict!r}")
        if self.chunk_size < 1:
            raise StoreError(f"chunk_size: expected a number >= 1, found {self.chunk_size!r}")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What was done: rows that were stored (on Postgres without those that were there already and stayed), and columns
    that the table does not have.
    """

    rows: int
    left_out: tuple[str, ...] = ()


Columns = Mapping[str, Sequence[Any]]
"""Rows as columns: every list has one value for each row."""


@dataclass(slots=True)
class _Work:
    """One upload under way."""

    connection: sa.Connection
    upload: Upload
    shape: Shape
    names: list[str]
    keys: tuple[str, ...]
    kinds: list[Kind] = field(default_factory=list)
    done: int = 0


def upload_rows(connection: sa.Connection, upload: Upload, rows: Iterable[Mapping[str, Any]]) -> Uploaded:
    """Store rows in the caller's transaction; a key that some rows lack is NULL in them.

    Raises:
        StoreError: when they cannot be stored; the transaction must be rolled back.
    """
    given = rows if isinstance(rows, Sequence) else list(rows)
    names = list(dict.fromkeys(name for row in given for name in row))
    return upload_columns(connection, upload, {name: [row.get(name) for row in given] for name in names})


def upload_columns(connection: sa.Connection, upload: Upload, columns: Columns) -> Uploaded:
    """Store rows that are given as columns, in the caller's transaction.

    Raises:
        EvaluationUploadError: when a value cannot be stored, or a row is there already.
        StoreError: when there is no such table, or the database cannot be written.
    """
    shape = shape_of(connection, upload.table)
    columns = keyed(upload.table, columns, connection.dialect.name == "sqlite")
    unknown = tuple(name for name in columns if name not in shape.kinds)
    if unknown and upload.add_missing:
        shape = add_columns(connection, shape, {name: columns[name] for name in unknown})
        unknown = ()
    names = [name for name in columns if name in shape.kinds]
    size = len(next(iter(columns.values()), ()))
    if size == 0:
        return Uploaded(0, unknown)
    work = _Work(connection, upload, shape, names, _keys(upload, shape, names))
    work.kinds = shape.kinds_of(names, work.keys)
    store = _Copy(work) if connection.dialect.name == "postgresql" else _Many(work)
    stored = 0
    for start, made in _ahead(work, columns, size):
        work.done = start
        stored += store(made)
    return Uploaded(stored, unknown)


def _ahead(work: _Work, columns: Columns, size: int) -> Iterator[tuple[int, list[list[Any]]]]:
    """The chunks, each made while the database is at work on the one before."""
    step = work.upload.chunk_size

    def made(start: int) -> list[list[Any]]:
        return [_column(work, place, columns[name], start, start + step) for place, name in enumerate(work.names)]

    if size <= step:
        yield 0, made(0)
        return
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(made, 0)
        for start in range(0, size, step):
            chunk = coming.result()
            if start + step < size:
                coming = thread.submit(made, start + step)
            yield start, chunk


def _keys(upload: Upload, shape: Shape, names: Sequence[str]) -> tuple[str, ...]:
    """What rows are told apart by; checked where the upload needs it."""
    if not names:
        raise EvaluationUploadError(f"{shape.said}: no column of the rows is in the table. {hint('', shape.kinds)}")
    keys = upload.keys or shape.key
    lost = [name for name in keys if name not in names]
    if upload.on_conflict != "upsert":
        return () if lost else tuple(keys)
    if not keys or lost:
        why = f"the rows lack {', '.join(lost)}" if lost else "the table has no primary key"
        raise EvaluationUploadError(f"{shape.said}: upsert needs to know rows by their key, and {why}; give `keys`")
    return tuple(keys)


def _column(work: _Work, place: int, values: Sequence[Any], start: int, stop: int) -> list[Any]:
    """One column of a chunk, every value fit for it."""
    part, kind = values[start:stop], work.kinds[place]
    if fits(kind, part):
        return list(part)
    cell, made = cell_of(kind), []
    try:
        for value in part:
            made.append(cell(value))
    except ValueError as error:
        where = f"{work.shape.said}.{work.names[place]}, row {start + len(made)}"
        raise EvaluationUploadError(f"{where}: {error}; nothing of this upload was stored") from error
    return made


class _Copy:
    """Chunks into Postgres."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._raw: Any = work.connection.connection.driver_connection
        columns = ", ".join(map(quoted, work.names))
        self._keys = [quoted(name) for name in work.keys]
        self._insert = f"INSERT INTO {work.shape.sql} ({columns}) SELECT {columns} FROM {_STAGE}"
        if self._keys:  # in one order, so that two who upload the same rows wait for one another and never cross
            self._insert += f" ORDER BY {', '.join(self._keys)}"
        self._insert += _conflict(work)
        self._copy = f"COPY {_STAGE} ({columns}) FROM STDIN"
        self._fresh = (
            f"CREATE TEMPORARY TABLE {_STAGE} ON COMMIT DROP AS SELECT {columns} FROM {work.shape.sql} LIMIT 0"
        )

    def __call__(self, columns: list[list[Any]]) -> int:
        import psycopg  # late: files need no server

        rows = (
            _lasting(self._work, columns) if self._work.upload.on_conflict == "upsert" else zip(*columns, strict=True)
        )
        try:
            with self._raw.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{_STAGE}")
                cursor.execute(self._fresh)
                with cursor.copy(self._copy) as copy:
                    for row in rows:
                        copy.write_row(row)
                cursor.execute(self._insert)
                return int(cursor.rowcount)
        except psycopg.Error as error:
            raise self._told(error) from error

    def _told(self, error: Any) -> Exception:
        """The server's error with the row it is about; one of the connection as SQLAlchemy knows it."""
        said, diagnosis = str(error).splitlines()[0] if str(error) else type(error).__name__, error.diag
        if diagnosis.sqlstate is None or diagnosis.sqlstate[:2] not in ("22", "23", "54"):
            return sa.exc.DBAPIError(self._copy, None, error)
        found = _COPY_PLACE.search(diagnosis.context or "")
        if found:
            place = f"{self._work.shape.said}.{found[2]}, row {self._work.done + int(found[1]) - 1}"
        else:
            place = self._work.shape.said
        keyed = diagnosis.sqlstate in ("23503", "23505")  # the details of others show the whole row
        detail = f" ({diagnosis.message_detail})" if keyed and diagnosis.message_detail else ""
        return EvaluationUploadError(f"{place}: {said}{detail}; nothing of this upload was stored{_cure(said)}")


class _Many:
    """Chunks into SQLite."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        columns, marks = ", ".join(map(quoted, work.names)), ", ".join("?" * len(work.names))
        self._insert = f"INSERT INTO {work.shape.sql} ({columns}) VALUES ({marks})" + _conflict(work)

    def __call__(self, columns: list[list[Any]]) -> int:
        raw: Any = self._work.connection.connection.driver_connection
        rows = zip(*([_plain(each) for each in column] for column in columns), strict=True)
        before = raw.total_changes
        try:
            raw.executemany(self._insert, rows)
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            raise EvaluationUploadError(
                f"{self._work.shape.said}: {error}; nothing of this upload was stored{_cure(str(error))}"
            ) from error
        return int(raw.total_changes - before)


def _conflict(work: _Work) -> str:
    """The end of the INSERT."""
    if work.upload.on_conflict == "error":
        return ""
    keys = ", ".join(map(quoted, work.keys))
    rest = [quoted(name) for name in work.names if name not in work.keys]
    if work.upload.on_conflict == "do_nothing" or not rest:
        return f" ON CONFLICT ({keys}) DO NOTHING" if work.upload.keys else " ON CONFLICT DO NOTHING"
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"


def _lasting(work: _Work, columns: list[list[Any]]) -> Iterable[tuple[Any, ...]]:
    """The rows of a chunk, of those with one key the last: one INSERT may not replace what it has stored itself."""
    places = [work.names.index(name) for name in work.keys]
    keys = zip(*(columns[place] for place in places), strict=True)
    last = {key: number for number, key in enumerate(keys)}
    rows = zip(*columns, strict=True)
    if len(last) == len(columns[0]):
        return rows
    kept = set(last.values())
    return (row for number, row in enumerate(rows) if number in kept)


def _plain(value: Any) -> Any:
    """A value as SQLite's driver takes it."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _cure(said: str) -> str:
    if "unique" not in said.lower():
        return ""
    return ". Take on_conflict do_nothing to keep what is there, or upsert to replace it"
