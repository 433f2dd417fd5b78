"""Rows into a table of a user's database, whole or not at all: by COPY on Postgres (`upload_by_copy.py`), by
`executemany` on SQLite.

Everything happens in one transaction, temporary tables with it, so a pooler between may mix sessions as it likes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from shared.core.clock import iso
from shared.core.registry import hint
from shared.database.upload.evaluation_tables import with_keys
from shared.database.upload.table_layout import TableLayout, add_columns, quote_name, read_layout
from shared.database.upload.upload_by_copy import Copy
from shared.database.upload.upload_result import (
    EvaluationUploadError,
    Uploaded,
    UploadOptions,
    UploadProgress,
    conflict_clause,
    suggest_remedy,
)
from shared.database.upload.value_conversion import find_conversion, fits

Columns = Mapping[str, Sequence[Any]]
"""Rows as columns: every list has one value for each row."""


def upload_rows(connection: sa.Connection, upload: UploadOptions, rows: Iterable[Mapping[str, Any]]) -> Uploaded:
    """Store rows in the caller's transaction; a key that some rows lack is NULL in them.

    Raises:
        StoreError: when they cannot be stored; the transaction must be rolled back.
    """
    given = rows if isinstance(rows, Sequence) else list(rows)
    names = list(dict.fromkeys(name for row in given for name in row))
    return upload_columns(connection, upload, {name: [row.get(name) for row in given] for name in names})


def upload_columns(connection: sa.Connection, upload: UploadOptions, columns: Columns) -> Uploaded:
    """Store rows that are given as columns, in the caller's transaction.

    Raises:
        EvaluationUploadError: when a value cannot be stored, or a row is there already.
        StoreError: when there is no such table, or the database cannot be written.
    """
    shape = read_layout(connection, upload.table)
    columns = with_keys(upload.table, columns, connection.dialect.name == "sqlite")
    unknown = tuple(name for name in columns if name not in shape.kinds)
    if unknown and upload.add_missing:
        shape = add_columns(connection, shape, {name: columns[name] for name in unknown})
        unknown = ()
    names = [name for name in columns if name in shape.kinds]
    size = len(next(iter(columns.values()), ()))
    if size == 0:
        return Uploaded(0, unknown)
    work = UploadProgress(connection, upload, shape, names, _keys(upload, shape, names))
    work.kinds = shape.kinds_of(names, work.keys)
    store = Copy(work) if connection.dialect.name == "postgresql" else _Many(work)
    stored = 0
    for start, made in _convert_ahead(work, columns, size):
        work.done = start
        stored += store(made)
    return Uploaded(stored, unknown)


def _convert_ahead(work: UploadProgress, columns: Columns, size: int) -> Iterator[tuple[int, list[list[Any]]]]:
    """The chunks, each made while the database is at work on the one before."""
    step = work.upload.chunk_size

    def convert(start: int) -> list[list[Any]]:
        return [_column(work, place, columns[name], start, start + step) for place, name in enumerate(work.names)]

    if size <= step:
        yield 0, convert(0)
        return
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(convert, 0)
        for start in range(0, size, step):
            chunk = coming.result()
            if start + step < size:
                coming = thread.submit(convert, start + step)
            yield start, chunk


def _keys(upload: UploadOptions, shape: TableLayout, names: Sequence[str]) -> tuple[str, ...]:
    """What rows are told apart by; checked where the upload needs it."""
    if not names:
        raise EvaluationUploadError(f"{shape.said}: no column of the rows is in the table. {hint('', shape.kinds)}")
    keys = upload.keys or shape.key
    lost = [name for name in keys if name not in names]
    if upload.on_conflict == "error" or (upload.on_conflict == "do_nothing" and not upload.keys):
        return () if lost else tuple(keys)
    if not keys or lost:
        why = f"the rows lack {', '.join(lost)}" if lost else "the table has no primary key"
        rule = upload.on_conflict
        raise EvaluationUploadError(f"{shape.said}: {rule} needs to know rows by their key, and {why}; give `keys`")
    return tuple(keys)


def _column(work: UploadProgress, place: int, values: Sequence[Any], start: int, stop: int) -> list[Any]:
    """One column of a chunk, every value fit for it."""
    part, kind = values[start:stop], work.kinds[place]
    if fits(kind, part):
        return list(part)
    cell, made = find_conversion(kind), []
    try:
        for value in part:
            made.append(cell(value))
    except ValueError as error:
        where = f"{work.shape.said}.{work.names[place]}, row {start + len(made)}"
        raise EvaluationUploadError(f"{where}: {error}; nothing of this upload was stored") from error
    return made


class _Many:
    """Chunks into SQLite."""

    def __init__(self, work: UploadProgress) -> None:
        self._work = work
        columns, marks = ", ".join(map(quote_name, work.names)), ", ".join("?" * len(work.names))
        self._insert = f"INSERT INTO {work.shape.sql} ({columns}) VALUES ({marks})" + conflict_clause(work)

    def __call__(self, columns: list[list[Any]]) -> int:
        raw: Any = self._work.connection.connection.driver_connection
        rows = zip(*([_plain(each) for each in column] for column in columns), strict=True)
        before = raw.total_changes
        try:
            raw.executemany(self._insert, rows)
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            raise EvaluationUploadError(
                f"{self._work.shape.said}: {error}; nothing of this upload was stored{suggest_remedy(str(error))}"
            ) from error
        return int(raw.total_changes - before)


def _plain(value: object) -> object:
    """A value as SQLite's driver takes it."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
