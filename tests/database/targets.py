"""A user's database for the suites: a SQLite file, or a database of its own on the real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from shared.core.digests import digest
from shared.database.engine.database import Database, open_as_it_is
from tests.contracts.adapters.served import empty_postgres

KINDS = ("sqlite", "postgres")


def address_of(kind: str, folder: Path) -> str:
    """The address of a new database without any table, of this folder."""
    return str(folder / "target.db") if kind == "sqlite" else empty_postgres("e_" + digest(str(folder))[:24])


def opened(kind: str, folder: Path) -> Database:
    """That database, open."""
    return open_as_it_is(address_of(kind, folder))


def ran(database: Database, *statements: str) -> None:
    """Run statements and commit."""
    with database.write() as connection:
        for each in statements:
            connection.exec_driver_sql(each)


def rows_of(database: Database, query: str) -> list[dict[str, Any]]:
    """The rows of a query."""
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.text(query))]
