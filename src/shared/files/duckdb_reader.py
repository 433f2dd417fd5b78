"""DuckDB as a reader of one file: no network, no extension, no write, and no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.core.errors import ConfigError, SourceError
from shared.files.discovery import File
from shared.files.time_filter import TimeFilter

if TYPE_CHECKING:
    import duckdb

_ROWS = 2000
"""Rows fetched in one go."""

_PLAIN_TIME = (
    r"(?:19|20)\d\d-\d\d-\d\d(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
    r"(?:Z|[+-](?:0\d|1[0-5]):[0-5]\d)?)?"
)
"""Texts that Python and DuckDB read as the same moment. Any other spelling is left for Python to judge."""

_MARGIN = timedelta(seconds=1)
"""How much wider than the window the pushed-down filter is; Python decides at the borders, exactly."""


@contextmanager
def connect(file: File) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in memory that may read this file and touch nothing else; always closed.

    Raises:
        ConfigError: when DuckDB is not installed.
        SourceError: when DuckDB cannot read the file.
    """
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(f"{file.name}: reading it needs DuckDB, which is absent: pip install duckdb") from error
    # Spilling to disk is refused by an empty temp_directory; streaming needs none.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": "512MB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        # DuckDB compares the name as given and the name as found, so both are allowed.
        connection.execute("SET allowed_paths = $1", [[file.path, escape_glob(file.path)]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    except duckdb.Error as error:
        what = str(error).strip().splitlines()[0]
        raise SourceError(f"{file.name}: cannot be read as {file.format}: {what}") from error
    finally:
        connection.close()


def escape_glob(path: str) -> str:
    """The path so that DuckDB takes it literally: without this, `a[1].jsonl` would quietly read `a1.jsonl`."""
    return re.sub(r"([*?[])", r"[\1]", path)


def fetch_rows(connection: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query as they come, in bounded memory."""
    connection.execute(sql, dict(values))
    while some := connection.fetchmany(_ROWS):
        yield from some


def quote_name(name: str) -> str:
    """A column's name as an identifier; SQL has no way to bind one."""
    return '"' + name.replace('"', '""') + '"'


def window_bounds(time_filter: TimeFilter) -> dict[str, datetime]:
    """The window's limits as query parameters, widened by the margin; one that cannot be widened is left out."""
    found: dict[str, datetime] = {}
    if time_filter.window.start is not None and time_filter.window.start.year > 1:
        found["low"] = time_filter.window.start - _MARGIN
    if time_filter.window.end is not None and time_filter.window.end.year < 9999:
        found["high"] = time_filter.window.end + _MARGIN
    return found


def outside_sql(moment: str, limits: Mapping[str, Any]) -> str:
    """SQL that is true where `moment` lies surely outside of the window, false or NULL elsewhere."""
    tests = {"low": f"{moment} < $low", "high": f"{moment} >= $high"}
    return "(" + (" OR ".join(tests[name] for name in limits) or "false") + ")"


def text_may_match(text: str, limits: Mapping[str, Any]) -> str:
    """SQL that is true unless the text is surely a time outside of the window; never NULL."""
    gone = outside_sql(f"try_cast({text} AS TIMESTAMPTZ)", limits)
    return f"CASE WHEN {gone} THEN NOT coalesce(regexp_full_match({text}, '{_PLAIN_TIME}'), false) ELSE true END"
