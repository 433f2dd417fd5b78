"""Postgres: what is different there. One schema, the same stores.

Transactions that write are READ COMMITTED; what must not happen twice is kept by keys and `ON CONFLICT`, and one
stream's runs take turns by an advisory lock. Transactions that read are REPEATABLE READ: one moment's state. Prepared
statements are off, so that a pooler between (PgBouncer, Neon) may give every transaction another connection.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from shared.core.clock import Clock, iso
from shared.core.digests import digest
from shared.core.errors import BusyError, StoreError
from shared.core.results import Stream
from shared.database.engine.cold_start import ColdStartLimits, retry_connections
from shared.database.engine.database_errors import BUSY_SECONDS, as_store_errors
from shared.database.engine.lock_names import lock_name

SCHEMA_LOCK = 0x74727565  # "true": held while the schema is brought up to date


READING = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
LOCALLY = f"SET LOCAL lock_timeout = {int(BUSY_SECONDS * 1000)}; SET LOCAL timezone = 'UTC'"
"""In each transaction, as poolers refuse settings that come with the connection and mix sessions."""

_HELD = (
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL tcp_keepalives_idle = 20;"
    " SET LOCAL tcp_keepalives_interval = 5; SET LOCAL tcp_keepalives_count = 4"
)
"""For a transaction that holds a lock: the server may not end it for being idle, and gives the lock back 40 seconds
after the holder's machine has vanished, not after hours.
"""


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


@contextmanager
def advisory_lock(engine: sa.Engine, place: str, stream: Stream, clock: Clock) -> Iterator[None]:
    """Hold a stream until the block ends, by an open transaction: that works through a pooler too, and a process that
    is killed gives the lock back with its connection.

    Raises:
        BusyError: when another run holds it, naming that run's process and since when.
    """
    key = int(lock_name(stream)[:15], 16)
    about = f"process {os.getpid()} on {socket.gethostname()[:20]} since {iso(clock())[:19]}Z"
    with ExitStack() as stack:
        with as_store_errors(place):
            plain = stack.enter_context(engine.connect())
            connection = plain.execution_options(trueline_write=True)
            stack.enter_context(connection.begin())
            connection.exec_driver_sql(_HELD)
            connection.execute(sa.select(sa.func.set_config("application_name", about, True)))
            mine = connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(key)))
            who = "" if mine else _holder(connection, key)
        if not mine:
            raise BusyError(f"{stream}: another run holds it ({who}). Let it finish, or end that process.")
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that is gone has given the lock back
                stack.close()


@contextmanager
def life_lock(engine: sa.Engine, place: str, name: str) -> Iterator[None]:
    """Hold a worker's own lock until the block ends or its process does."""
    with ExitStack() as stack:
        with as_store_errors(place):
            plain = stack.enter_context(engine.connect())
            connection = plain.execution_options(trueline_write=True)
            stack.enter_context(connection.begin())
            connection.exec_driver_sql(_HELD)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_life(name))))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that is gone has given the lock back
                stack.close()


def has_life_lock(connection: sa.Connection, name: str) -> bool:
    """Whether some process holds the worker's lock."""
    return not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_life(name))))


def _life(name: str) -> int:
    return int(digest(["worker", name])[:15], 16)


def _holder(connection: sa.Connection, key: int) -> str:
    query = """
        SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = :key
    """
    name: Any = connection.scalar(sa.text(query), {"key": key})
    return str(name) if name else "a process that began just now"
