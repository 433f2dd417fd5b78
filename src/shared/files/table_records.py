"""Records of tables: CSV rows and Parquet rows. A cell without a value is a missing key."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.core.errors import SourceError
from shared.files.discovery import File
from shared.files.duckdb_reader import connect, escape_glob, fetch_rows, quote_name, text_may_match, window_bounds
from shared.files.json_records import NumberedRecord
from shared.files.time_filter import TimeFilter, parse_moment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NO_VALUE = ("", "NaN", "nan", "NULL")
"""CSV cells that stand for a missing value."""

_LARGEST_CELL = 1 << 28
"""Characters that one CSV cell may have; Python's own default of 131,072 is less than a long trace."""

_PARQUET = "read_parquet($path, file_row_number = true, hive_partitioning = false)"
_WITH_ZONE = "TIMESTAMP WITH TIME ZONE"
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_LAST_SECOND = 253402300799
"""31 December 9999 in Unix seconds: larger numbers are no such times (milliseconds, most likely) and not skipped."""


def csv_entries(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The rows of a CSV file with a header, all values as text; numbered by the line that a row starts on.

    Split by Python, not by DuckDB, whose reader drops rows silently when it skips the ragged ones.

    Raises:
        SourceError: for a header that cannot be used, or a quote that is opened and never closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))  # process-wide, and only ever raised
    with file.open() as handle:
        text = io.TextIOWrapper(handle, "utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True)
        header = _header(file, reader, time_filter)
        time_at = (
            header.index(time_filter.field) if time_filter.window.is_bounded and time_filter.field in header else None
        )
        while True:
            start = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield NumberedRecord(start, None, _csv_flaw(file, start, error))
                continue
            if row and not (time_at is not None and len(row) == len(header) and _is_outside(row[time_at], time_filter)):
                yield _csv_entry(start, header, row)


def _header(file: File, reader: Iterator[list[str]], time_filter: TimeFilter) -> list[str]:
    try:
        header = next(reader)
    except csv.Error as error:
        raise SourceError(f"{file.name}:1: the header is not CSV: {error}") from error
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise SourceError(f"{file.name}:1: the header names {twice[0]!r} more than once; rename one of the columns")
    if time_filter.needs_time and time_filter.field not in header:
        raise _no_column(file, time_filter, header)
    return header


def _no_column(file: File, time_filter: TimeFilter, columns: list[str]) -> SourceError:
    known = ", ".join(map(repr, columns[:12]))
    return SourceError(
        f"{file.name}: no column {time_filter.field!r} for the window; found {known}: set `timestamp_field`"
    )


def _csv_flaw(file: File, start: int, error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        raise SourceError(
            f"{file.name}:{start}: a quote opened in the row that starts here is never closed, so that the rest of "
            "the file cannot be split into rows; close the quote"
        ) from error
    return f"not CSV: {error}"


def _is_outside(cell: str, time_filter: TimeFilter) -> bool:
    """Whether the row can be skipped before anything is made of it."""
    try:
        return not time_filter.window.contains(parse_moment(cell))
    except ValueError:
        return False


def _csv_entry(number: int, header: list[str], row: list[str]) -> NumberedRecord:
    if len(row) != len(header):
        return NumberedRecord(number, None, f"expected {len(header)} cells as in the header, found {len(row)}")
    if any(not cell.isascii() and re.search("[\udc80-\udcff]", cell) for cell in row):
        return NumberedRecord(number, None, "not UTF-8")
    return NumberedRecord(number, {name: cell for name, cell in zip(header, row, strict=True) if cell not in _NO_VALUE})


def csv_is_empty(file: File) -> bool:
    """Whether there is no row below the header."""
    with file.open() as handle:
        lines = (line for line in handle if line.strip())
        next(lines, None)
        return next(lines, None) is None


def parquet_is_empty(file: File) -> bool:
    """Whether the file has no rows (answered from its footer)."""
    with connect(file) as connection:
        sql = f"SELECT count(*) FROM {_PARQUET}"
        return bool(connection.execute(sql, {"path": escape_glob(file.path)}).fetchall()[0][0] == 0)


def parquet_entries(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The rows of a Parquet file in file order; row groups and rows surely outside of the window are never read.

    Nested values come as dicts and lists, times as datetimes (aware in UTC where the column has a zone).
    """
    with connect(file) as connection:
        columns = _columns(connection, file, time_filter)
        names = list(columns)
        zoned = {at for at, kind in enumerate(columns.values(), 1) if kind == _WITH_ZONE}
        picked = ", ".join(["file_row_number + 1", *(_column_sql(name, columns[name]) for name in names)])
        sql = f"SELECT {picked} FROM {_PARQUET} WHERE {_window_sql(columns, time_filter)}"
        for row in fetch_rows(connection, sql, _values(file, columns, time_filter)):
            cells = [_aware(cell) if at in zoned else cell for at, cell in enumerate(row)]
            found = zip(names, cells[1:], strict=True)
            yield NumberedRecord(row[0], {name: cell for name, cell in found if not _is_missing(cell)})


def parquet_times(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The same rows with nothing in them except the column that holds the time."""
    with connect(file) as connection:
        columns = _columns(connection, file, time_filter)
        name = time_filter.field if time_filter.field in columns else time_filter.field.split(".")[0]
        cell = _column_sql(name, columns[name]) if name in columns else "NULL"
        sql = f"SELECT file_row_number + 1, {cell} FROM {_PARQUET} WHERE {_window_sql(columns, time_filter)}"
        for number, value in fetch_rows(connection, sql, _values(file, columns, time_filter)):
            yield NumberedRecord(number, {} if _is_missing(value) else {name: value})


def _columns(connection: DuckDBPyConnection, file: File, time_filter: TimeFilter) -> dict[str, str]:
    sql = "DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning = false)"
    described = connection.execute(sql, {"path": escape_glob(file.path)}).fetchall()
    columns = {row[0]: row[1] for row in described}
    if time_filter.needs_time and time_filter.field not in columns and time_filter.field.split(".")[0] not in columns:
        raise _no_column(file, time_filter, list(columns))
    return columns


def _column_sql(name: str, kind: str) -> str:
    """SQL for a column. DuckDB needs pytz to hand over times with a zone; UTC without one says the same."""
    column = quote_name(name)
    return f"CAST({column} AS {kind.replace(_WITH_ZONE, 'TIMESTAMP')})" if _WITH_ZONE in kind else column


def _aware(cell: datetime | None) -> datetime | None:
    return None if cell is None else cell.replace(tzinfo=UTC)


def _is_missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _window_sql(columns: dict[str, str], time_filter: TimeFilter) -> str:
    """The window as SQL over the column's own type, so that DuckDB can skip row groups; true where it cannot be."""
    limits = window_bounds(time_filter)
    kind = columns.get(time_filter.field, "")
    cell = quote_name(time_filter.field)
    inside = {"low": f"{cell} >= $low", "high": f"{cell} < $high"}
    within = " AND ".join(inside[name] for name in limits)
    if not limits:
        return "true"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"(({within}) OR {cell} IS NULL)"
    if kind in _INTEGERS:
        return f"(({within}) OR {cell} IS NULL OR {cell} > {_LAST_SECOND} OR {cell} < -{_LAST_SECOND})"
    return text_may_match(cell, limits) if kind == "VARCHAR" else "true"


def _values(file: File, columns: dict[str, str], time_filter: TimeFilter) -> dict[str, Any]:
    kind = columns.get(time_filter.field, "")
    limits: dict[str, Any] = dict(window_bounds(time_filter))
    if kind in _INTEGERS:
        limits = {name: math.floor(moment.timestamp()) for name, moment in limits.items()}
    elif kind == _WITH_ZONE or kind == "VARCHAR":
        pass
    elif kind.startswith("TIMESTAMP") or kind == "DATE":
        limits = {name: moment.replace(tzinfo=None) for name, moment in limits.items()}
    else:
        limits = {}
    return {"path": escape_glob(file.path)} | limits
