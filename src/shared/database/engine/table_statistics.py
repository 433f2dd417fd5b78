"""What Postgres does for a table in time by itself, done at once after much was written."""

from __future__ import annotations

from shared.core.best_effort import best_effort
from shared.database.engine.database import Database

MANY = 10_000
"""Rows from which on it is worth it."""

_LIMITS = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s'"


def analyze_grown(database: Database, rows: int, *tables: str) -> None:
    """Have the planner look at tables that so many rows were added to, in a transaction of its own. A failure is
    logged: no result depends on it. Files need none."""
    if database.path is not None or rows < MANY:
        return
    with best_effort("looking at tables for the planner"), database.write() as connection:
        connection.exec_driver_sql(_LIMITS)
        connection.exec_driver_sql(f"ANALYZE {', '.join(tables)}")


def vacuum_rewritten(database: Database, rows: int, table: str) -> None:
    """Let the room of rows that were written anew be used again, where there were so many. As `analyze_grown`."""
    if database.path is not None or rows < MANY:
        return
    with best_effort("vacuuming a table"), database.engine.connect() as plain:
        plain.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(f"VACUUM {table}")
