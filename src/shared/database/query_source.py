"""The source `neon`: rows of a query on a Postgres server, as items.

The user's query stands in a subquery as it is; the bounds of the window and the limit stand around it, as bound
parameters. It runs in a transaction that can only read, by a cursor on the server's side, with a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from shared.core.digests import to_plain
from shared.core.errors import ConfigError, SourceError, StoreError
from shared.core.extraction import BrokenRecord, Fetched, SourceNotice, extract_item
from shared.core.ports import SourceContext
from shared.core.records import ALIASES, FIELDS, DatasetItem
from shared.core.registry import hint
from shared.core.window import UNBOUNDED, Window, WindowSupport
from shared.database.upload.neon_client import NeonConnection

Row = dict[str, Any]

_COLUMN = r"^[A-Za-z_][A-Za-z0-9_.]*$"
_NAMES = ("id", "dataset_id", "trace_id")


class QueryParams(BaseModel):
    """A query and how it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(min_length=1, description="One SELECT, without bounds of time; it is read as a subquery.")
    params: dict[str, Any] | list[Any] | None = Field(
        default=None, description="Values for %(name)s or %s in the query; without any, % means itself."
    )
    connection_string: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host/name; default: the variable DATABASE_URL."
    )
    time_column: str = Field(
        default="created_at", pattern=_COLUMN, description="The column of the result that the window goes by."
    )
    chunk_size: int = Field(default=1000, ge=1, le=100_000, description="Rows fetched at a time.")
    timeout_seconds: float | None = Field(default=None, gt=0, le=86_400, description="Limit of a statement (60).")

    @field_validator("query")
    @classmethod
    def _one_statement(cls, value: str) -> str:
        query = value.strip().removesuffix(";").rstrip()
        if not re.match(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|table|values)\b", query, re.I | re.S):
            raise ValueError("expected a query that begins with SELECT or WITH")
        return query


class QuerySourceParams(QueryParams):
    """Parameters of the source `neon`, besides its window."""


@dataclass(frozen=True, slots=True)
class BoundedQuery:
    """A user's query within bounds. `limit` takes the newest rows, where there is a time column."""

    params: QueryParams
    window: Window = UNBOUNDED
    limit: int | None = None
    required: tuple[str, ...] = ()

    def rows(self) -> Generator[Row, None, None]:
        """The rows, in bounded memory.

        Raises:
            ConfigError: naming a column that the result does not have; StoreError when the server cannot answer.
        """
        given = self.params.connection_string
        timeout = self.params.timeout_seconds
        with NeonConnection(None if given is None else given.get_secret_value()) as connection:
            columns = connection.columns_of(self.params.query, self.params.params, timeout)
            needed = (*self.required, *((self._time_column,) if self._needs_time else ()))
            for name in needed:
                if name not in columns:
                    raise ConfigError(f"the result of the query has no column {name!r}. {hint(name, columns)}")
            statement, values = self._statement(self._time_column in columns)
            chunks = connection.fetch_chunks(statement, values, self.params.chunk_size, timeout, read_only=True)
            with closing(chunks):  # before the connection is, when the rows are no longer wanted
                for chunk in chunks:
                    yield from chunk

    @property
    def _time_column(self) -> str:
        return self.params.time_column.rsplit(".", 1)[-1]

    @property
    def _needs_time(self) -> bool:
        return self.window.is_bounded

    def _statement(self, has_time: bool) -> tuple[str, Mapping[str, Any] | Sequence[Any] | None]:
        """The statement and its values; ours come after the user's, by name or by place as theirs do."""
        given = self.params.params
        column = f'source."{self._time_column}"'
        parts = [(f"{column} >= {{}}", self.window.start), (f"{column} < {{}}", self.window.end)]
        bounds = [(text, value) for text, value in parts if value is not None]
        order = f" ORDER BY {column} DESC" if has_time and self.limit is not None else ""
        tail = [("LIMIT {}", self.limit)] if self.limit is not None else []
        ours = [*bounds, *tail]
        places = [f"%(trueline_{n})s" if isinstance(given, dict) else "%s" for n in range(len(ours))]
        texts = [text.format(place) for (text, _), place in zip(ours, places, strict=True)]
        where = " WHERE " + " AND ".join(texts[: len(bounds)]) if bounds else ""
        query = self.params.query.replace("%", "%%") if given is None and ours else self.params.query
        statement = f"SELECT * FROM ({query}\n) AS source{where}{order} {' '.join(texts[len(bounds) :])}"
        values = [value for _, value in ours]
        if isinstance(given, dict):
            return statement, given | {f"trueline_{n}": value for n, value in enumerate(values)}
        return statement, ([*(given or ()), *values] or None)


class QuerySource:
    """Rows of a query as items: a row's columns are the fields of an item, or what the extractor makes of them."""

    Params = QuerySourceParams
    window_support = WindowSupport()

    def __init__(self, params: QuerySourceParams, context: SourceContext) -> None:
        self.key = context.key
        self._params, self._context = params, context

    def caught_up(self, last: datetime) -> QuerySource:
        """The same source, whose window holds all that came since `last`, if it moves with the clock."""
        return QuerySource(self._params, replace(self._context, window=self._context.window.with_last_read(last)))

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the items of the rows in the window as of `now`.

        Raises:
            SourceError: when the server cannot answer; ConfigError: when the result lacks the time column.
        """
        rule = self._context.window
        bounded = BoundedQuery(self._params, rule.window_at(now), None if rule.limit is None else rule.limit + 1)
        try:
            with closing(bounded.rows()) as rows:
                for number, row in enumerate(rows, 1):
                    if rule.limit is not None and number > rule.limit:
                        text = f"limit {rule.limit} was hit: older rows of the window are skipped; raise `limit`"
                        yield SourceNotice(text, cut=True)
                        return
                    yield self._extract(row, number)
        except StoreError as error:
            raise SourceError(f"source {self.key}: {error}") from error

    def _extract(self, row: Row, number: int) -> Fetched:
        record = plain_row(row)
        column = self._params.time_column.rsplit(".", 1)[-1]
        if self._context.extract == DatasetItem.from_dict and column in record and column not in (*FIELDS, *ALIASES):
            record.setdefault("source_timestamp", record.pop(column))
        known = next((str(record[name]) for name in _NAMES if record.get(name) is not None), f"row {number}")
        found = extract_item(self._context.extract, record, known)
        return BrokenRecord(f"row {known!r}", found) if isinstance(found, str) else found


def plain_row(row: Mapping[str, Any]) -> Row:
    """The row with values that JSON can hold, without its NULLs."""
    return {name: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return to_plain(value) if not isinstance(value, date) or isinstance(value, datetime) else value.isoformat()
