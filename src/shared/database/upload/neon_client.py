"""A client for a serverless Postgres, such as Neon: pooled, patient while the server wakes, at home behind a pooler.

Every call is one transaction. A connection that turns out to be dead before the transaction is being committed is
replaced and the call made once more: nothing of it can have been stored. One that dies while it is being committed is
an error that says so, for nobody can know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.core.errors import StoreError
from shared.database.engine.cold_start import ColdStartLimits
from shared.database.engine.database import parse_address
from shared.database.engine.database_errors import as_store_errors
from shared.database.upload.dataframes import to_columns, to_frame
from shared.database.upload.upload_result import CHUNK, OnConflict, Uploaded, UploadOptions
from shared.database.upload.upload_rows import upload_columns

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Params = Mapping[str, Any] | Sequence[Any] | None
"""Values for the places of a query, psycopg's `%s` or `%(name)s`; without any, `%` means itself."""

Row = dict[str, Any]
_TYPE = re.compile(r"[A-Za-z0-9_\s(),.\[\]]+")


class NeonSettings(BaseSettings):
    """What the environment decides (a field's name in capitals): the pool, time limits, how long waking may take."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    db_pool_max_size: int = Field(default=20, ge=1)
    db_connect_timeout_seconds: int = Field(default=10, ge=1)
    db_statement_timeout_ms: int = Field(default=60_000, ge=0, description="0: no limit")
    db_application_name: str = ""
    db_upload_chunk_size: int = Field(default=CHUNK, ge=1)
    db_wake_seconds: float = Field(default=30.0, ge=0, description="how long a connection is tried for")


class NeonConnection:
    """A pool of connections to one server; safe for threads. Connects when it is first used, closes with `close`."""

    def __init__(self, connection_string: str | None = None, settings: NeonSettings | None = None) -> None:
        from shared.database.engine.postgres import place_of, postgres_engine

        given = connection_string or os.environ.get("DATABASE_URL")
        if not given:
            raise StoreError("expected a connection string, found none; give one, or set the variable DATABASE_URL")
        url = parse_address(given)
        if url.get_backend_name() != "postgresql":
            wanted = "expected a Postgres URL such as 'postgresql://user@host/name', found none"
            raise StoreError(f"{wanted} in what was given (not shown: it may hold a password)")
        self._settings = made = settings or NeonSettings()
        self._place = place_of(url)
        arguments: dict[str, Any] = {"connect_timeout": made.db_connect_timeout_seconds, "prepare_threshold": None}
        if made.db_application_name:
            arguments["application_name"] = made.db_application_name
        options = {"pool_size": 1, "max_overflow": made.db_pool_max_size - 1, "connect_args": arguments}
        patience = ColdStartLimits(made.db_wake_seconds, unreached=True)
        self._engine = postgres_engine(url, patience, {**options, "json_serializer": None})

    def fetch_all(self, query: str, params: Params = None, timeout: float | None = None) -> list[Row]:
        """Every row of a query. `timeout`: seconds for the statement, by default the settings'.

        Raises:
            StoreError: when it cannot be answered.
        """
        return self._transact(lambda raw: _rows(raw, query, params), timeout)

    def fetch_one(self, query: str, params: Params = None, timeout: float | None = None) -> Row | None:
        """The first row of a query, None when there is none."""
        return next(iter(self.fetch_all(query, params, timeout)), None)

    def columns_of(self, query: str, params: Params = None, timeout: float | None = None) -> tuple[str, ...]:
        """The names of the columns of a query's result; no row is read.

        Raises:
            StoreError: when the server does not take the query.
        """
        statement = f"SELECT * FROM ({query}\n) AS source LIMIT 0"
        return self._transact(
            lambda raw: tuple(each.name for each in raw.execute(statement, params).description), timeout
        )

    def fetch_chunks(
        self,
        query: str,
        params: Params = None,
        size: int = 1000,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> Generator[list[Row], None, None]:
        """The rows of a query, `size` at a time in bounded memory; `timeout` is for each chunk. The transaction stays
        open until the last chunk was taken or the iterator is closed. With `read_only` it can change nothing, and times
        without a zone are UTC.

        Raises:
            StoreError: when it cannot be answered, or the connection is lost between two chunks.
        """
        with as_store_errors(self._place), self._open_connection() as (connection, raw):
            self._limit_statements(raw, timeout)
            if read_only:
                raw.execute("SET TRANSACTION READ ONLY")
                raw.execute("SET LOCAL TIME ZONE 'UTC'")
            with _as_sqlalchemy_errors(), raw.cursor(name="trueline_chunks", row_factory=_dict_row()) as cursor:
                cursor.execute(query, params)
                while rows := cursor.fetchmany(size):
                    yield rows
            connection.commit()

    def fetch_dataframe(self, query: str, params: Params = None, timeout: float | None = None) -> pd.DataFrame:
        """The rows of a query as a dataframe."""
        return to_frame(self.fetch_all(query, params, timeout))

    def fetch_dataframes(
        self, query: str, params: Params = None, size: int = 1000, timeout: float | None = None
    ) -> Iterator[pd.DataFrame]:
        """The rows of a query as dataframes of up to `size` rows."""
        return (to_frame(rows) for rows in self.fetch_chunks(query, params, size, timeout))

    def execute_commit(self, query: str, params: Params = None, timeout: float | None = None) -> int:
        """Run a statement and commit; how many rows it touched, 0 for one that touches none, such as `CREATE TABLE`.

        Raises:
            StoreError: when it cannot be run, or it is not known whether it was committed.
        """
        touched = self._transact(lambda raw: int(raw.execute(query, params).rowcount), timeout)
        return max(0, touched)  # psycopg answers -1 where there is no count

    def create_table(
        self, table_name: str, schema: str | None = None, columns: Sequence[tuple[str, str]] | None = None
    ) -> None:
        """Create a table if it is not there: with the text between the parentheses (`schema`, trusted), or with columns
        as (name, type).

        Raises:
            StoreError: when both or neither is given, or a type is no type.
        """
        from psycopg import sql

        if (schema is None) == (columns is None):
            raise StoreError("create_table: expected exactly one of schema and columns")
        wrong = [kind for _, kind in columns or () if not _TYPE.fullmatch(kind)]
        if wrong:
            raise StoreError(f"create_table: expected a type such as 'TEXT', found {wrong[0]!r}")
        parts = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns or ()]
        inside = sql.SQL(schema) if schema is not None else sql.SQL(", ").join(parts)
        statement = sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(sql.Identifier(table_name), inside)
        self._transact(lambda raw: raw.execute(statement))

    def upload_dataframe(
        self,
        df: pd.DataFrame,
        table_name: str,
        on_conflict: OnConflict = "error",
        *,
        keys: Sequence[str] = (),
        add_missing: bool = False,
    ) -> Uploaded:
        """Store a dataframe, whole or not at all (`database/upload/upload_rows.py`); its index is not stored.

        Raises:
            EvaluationUploadError: naming table, column and row of what cannot be stored.
            StoreError: when the server cannot be reached or written.
        """
        upload = UploadOptions(table_name, on_conflict, tuple(keys), self._settings.db_upload_chunk_size, add_missing)
        columns = to_columns(df)
        return self._run_transaction(lambda connection, raw: upload_columns(connection, upload, columns), None)

    def check_health(self) -> bool:
        """Whether the server answers."""
        try:
            return self.fetch_one("SELECT 1 AS one") == {"one": 1}
        except StoreError:
            return False

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        """A connection of psycopg's from the pool; what is not committed when the block ends is rolled back."""
        with as_store_errors(self._place):
            pooled = self._engine.raw_connection()
            try:
                yield pooled.driver_connection
            finally:
                pooled.close()

    def close(self) -> None:
        """Give back every connection; the next call opens a new one."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _transact(self, work: Callable[[Any], T], timeout: float | None = None) -> T:
        return self._run_transaction(lambda connection, raw: work(raw), timeout)

    def _run_transaction(self, work: Callable[[sa.Connection, Any], T], timeout: float | None) -> T:
        """The work in a transaction; once more when its connection dies before it is committed."""
        with as_store_errors(self._place):
            try:
                return self._try_transaction(work, timeout)
            except _Dead:
                return self._try_transaction(work, timeout, last=True)

    def _try_transaction(self, work: Callable[[sa.Connection, Any], T], timeout: float | None, last: bool = False) -> T:
        with self._open_connection() as (connection, raw):
            try:
                with _as_sqlalchemy_errors():
                    self._limit_statements(raw, timeout)
                    made = work(connection, raw)
            except sa.exc.DBAPIError as error:
                if not (raw.closed or error.connection_invalidated) or last:
                    raise
                raise _Dead from error
            try:
                connection.commit()
            except sa.exc.DBAPIError as error:
                if not (raw.closed or error.connection_invalidated):
                    raise  # the server refuses it, such as a constraint that is checked only now
                said = "the connection was lost while the transaction was being committed: it is not known whether"
                raise StoreError(f"{self._place}: {said} it was stored; look, then run again.") from error
            return made

    @contextmanager
    def _open_connection(self) -> Iterator[tuple[sa.Connection, Any]]:
        """A connection in a transaction, and psycopg's own below it; a dead one does not go back to the pool."""
        with self._engine.connect() as plain:
            connection = plain.execution_options(trueline_write=True)
            connection.begin()
            raw: Any = connection.connection.driver_connection
            try:
                yield connection, raw
            finally:
                if raw.closed and not connection.invalidated:
                    connection.invalidate()

    def _limit_statements(self, raw: Any, timeout: float | None) -> None:
        """Limit the statements of the transaction; with it, as poolers mix sessions."""
        milliseconds = self._settings.db_statement_timeout_ms if timeout is None else max(1, int(timeout * 1000))
        raw.execute(f"SET LOCAL statement_timeout = {milliseconds}")


class _Dead(Exception):
    """The connection died before anything can have been stored."""


@contextmanager
def _as_sqlalchemy_errors() -> Iterator[None]:
    """Give psycopg's errors the form that SQLAlchemy's have."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise sa.exc.DBAPIError(None, None, error) from error


def _rows(raw: Any, query: str, params: Params) -> list[Row]:
    with raw.cursor(row_factory=_dict_row()) as cursor:
        cursor.execute(query, params)
        return list(cursor.fetchall()) if cursor.description else []


def _dict_row() -> Any:
    from psycopg.rows import dict_row

    return dict_row
