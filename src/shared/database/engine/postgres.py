"""Postgres: what is different there. One schema, the same stores.

Transactions that write are READ COMMITTED; what must not happen twice is kept by keys and `ON CONFLICT`, and one
stream's runs take turns by an advisory lock. Transactions that read are REPEATABLE READ: one moment's state. Prepared
statements are off, so that a pooler between (PgBouncer, Neon) may give every transaction another connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from shared.core.errors import StoreError
from shared.database.engine.cold_start import ColdStartLimits, retry_connections
from shared.database.engine.database_errors import BUSY_SECONDS

SCHEMA_LOCK = 0x74727565  # "true": held while the schema is brought up to date


READING = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
LOCALLY = f"SET LOCAL lock_timeout = {int(BUSY_SECONDS * 1000)}; SET LOCAL timezone = 'UTC'"
"""In each transaction, as poolers refuse settings that come with the connection and mix sessions."""


def postgres_engine(
    url: sa.URL, patience: ColdStartLimits | None = None, more: Mapping[str, Any] = MappingProxyType({})
) -> sa.Engine:
    """An engine with a small pool; connections that went away while they were idle are replaced unseen, and a server
    that is waking is waited for. `more` are options of SQLAlchemy's that replace ours.

    Raises:
        StoreError: when psycopg is not installed.
    """
    options: dict[str, Any] = {
        "pool_pre_ping": True,
        "pool_size": 4,
        "max_overflow": 8,
        "pool_timeout": BUSY_SECONDS,
        "connect_args": {"connect_timeout": 10, "prepare_threshold": None},
        "json_serializer": lambda value: value,  # the column type has written it already
    }
    try:
        engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), **(options | dict(more)))
    except ImportError as error:
        raise StoreError(f"a Postgres database needs psycopg: pip install 'psycopg[binary]' ({error})") from error

    retry_connections(engine, patience or ColdStartLimits())

    def begin_transaction(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("trueline_write", False)
        connection.exec_driver_sql(LOCALLY if writes else f"{READING}; {LOCALLY}")

    sa.event.listen(engine, "begin", begin_transaction)
    return engine


def place_of(url: sa.URL) -> str:
    """The address as it may be shown: without password and options."""
    return url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def prepare_server(engine: sa.Engine, prepare: Callable[[sa.Engine], None]) -> None:
    """Bring the schema up to date while no other process does the same."""
    with engine.connect() as plain:
        guard = plain.execution_options(trueline_write=True)
        with guard.begin():
            guard.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            prepare(engine)
