"""Many rows at once into a table of ours on Postgres: by COPY, in little more than half the time of single inserts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

MANY = 500
"""Rows from which on it is worth a temporary table."""


def may_copy(connection: sa.Connection) -> bool:
    """Whether the user may make temporary tables, which some servers refuse; each connection asks once."""
    if "trueline_may_copy" not in connection.info:
        asked = sa.select(sa.func.has_database_privilege(sa.func.current_database(), "TEMPORARY"))
        connection.info["trueline_may_copy"] = connection.scalar(asked)
    return bool(connection.info["trueline_may_copy"])


def copy_new(
    connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]], bindings: Mapping[str, Any]
) -> None:
    """Insert the rows whose key is not there yet, in the connection's transaction. `bindings` are the columns, with
    what makes a value fit for each, None where nothing need be done.

    The rows go into a temporary table, which the transaction takes with it, so a pooler between may mix sessions.
    """
    import psycopg  # late: files need no server

    raw: Any = connection.connection.driver_connection
    stage, columns = f"trueline_new_{table.name}", ", ".join(bindings)
    order = ", ".join(each.name for each in table.primary_key)  # so that two who insert the same never cross
    fits: list[tuple[str, Callable[[Any], object] | None]] = list(bindings.items())
    try:
        with raw.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{stage}")
            cursor.execute(
                f"CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {columns} FROM {table.name} LIMIT 0"
            )
            with cursor.copy(f"COPY {stage} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row([_bind(row[name], bind) for name, bind in fits])
            cursor.execute(
                f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {stage} ORDER BY {order}"
                " ON CONFLICT DO NOTHING"
            )
    except psycopg.Error as error:  # in the form of SQLAlchemy's, as every other statement's
        raise sa.exc.DBAPIError(None, None, error) from error


def _bind(value: object, bind: Callable[[Any], object] | None) -> object:
    return value if bind is None or value is None else bind(value)
