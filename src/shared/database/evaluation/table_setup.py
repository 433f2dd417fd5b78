"""Making the tables of `evaluation_tables.py` in a user's database, and bringing those of the earlier system, keyed by
(dataset_id) and (run_id, dataset_id, metric_name), to the present layout: every row and every column is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from shared.core.errors import StoreError
from shared.database.engine.database import Database
from shared.database.evaluation.legacy_tables import OLDER_KEYS, upgrade_on_postgres, upgrade_on_sqlite
from shared.database.upload.evaluation_tables import VIEW, dataset, metadata, results, view_query

State = Literal["absent", "ready", "older", "foreign"]
_TABLES = (dataset, results)


@dataclass(frozen=True, slots=True)
class TableStatus:
    """What a database has under the tables' names: the worse of the two. `why` tells what is not as it should be."""

    state: State
    why: str = ""


def inspect_tables(database: Database) -> TableStatus:
    """What is there; changes nothing.

    Raises:
        StoreError: when the database cannot be read.
    """
    with database.read() as connection:
        return _inspect_all(connection)


def create_tables(database: Database) -> str:
    """Make what is missing and bring what is older to the present layout, whole or not at all; what was done, in words.

    Raises:
        StoreError: when the tables are somebody else's, or the database cannot be written; nothing is changed then.
    """
    with database.write("evaluation tables") as connection:
        found = _inspect_all(connection)
        if found.state == "foreign":
            raise StoreError(f"{database.place}: {found.why}")
        if found.state == "older":
            _check_view(connection, database.place)
            upgrade = upgrade_on_sqlite if database.path is not None else upgrade_on_postgres
            upgrade(connection, database.place)
        elif found.state == "absent":
            _check_view(connection, database.place)
            metadata.create_all(connection)
        _create_view(connection)
    done = {
        "absent": "evaluation_dataset, evaluation_results and evaluation_view were made",
        "older": f"brought to the present layout, with every row and column: {found.why}",
    }
    return done.get(found.state, "nothing to do: the tables are there as they should be")


def require_tables(database: Database) -> None:
    """Make the tables where there are none; return when they can be written to.

    Raises:
        StoreError: when they have an older layout or are somebody else's, with the command to run.
    """
    found = inspect_tables(database)
    if found.state == "absent":
        create_tables(database)
    elif found.state == "older":
        raise StoreError(
            f"{database.place}: {found.why}. Nothing was written. Bring the tables to the present layout, which keeps"
            " every row and column: trueline tables create CONFIG (or --url URL)"
        )
    elif found.state == "foreign":
        raise StoreError(f"{database.place}: {found.why}")


def _inspect_all(connection: sa.Connection) -> TableStatus:
    there = [table for table in _TABLES if sa.inspect(connection).has_table(table.name)]
    if not there:
        return TableStatus("absent")
    if len(there) == 1:
        return _foreign(there[0].name, "stands alone, without the other table")
    states = [_inspect_table(connection, table) for table in there]
    worst = next((each for each in states if each.state == "foreign"), None)
    return worst or next((each for each in states if each.state == "older"), TableStatus("ready"))


def _inspect_table(connection: sa.Connection, table: sa.Table) -> TableStatus:
    inspector = sa.inspect(connection)
    names = {column["name"] for column in inspector.get_columns(table.name)}
    key = set(inspector.get_pk_constraint(table.name)["constrained_columns"])
    missing = [column.name for column in table.columns if column.name not in names]
    if key == {column.name for column in table.primary_key.columns}:
        return TableStatus("older", f"{table.name} lacks {', '.join(missing)}") if missing else TableStatus("ready")
    if key == OLDER_KEYS[table.name]:
        return TableStatus(
            "older", f"{table.name} has the layout of the earlier system (its key is {', '.join(sorted(key))})"
        )
    return _foreign(table.name, f"has the key {', '.join(sorted(key)) or '(none)'}, which no version of it had")


def _foreign(table: str, what: str) -> TableStatus:
    return TableStatus(
        "foreign",
        f"{table} {what}; nothing was changed. Move it away, then run again: ALTER TABLE {table} RENAME TO my_{table};",
    )


def _check_view(connection: sa.Connection, place: str) -> None:
    """A view of that name is replaced when it is the earlier system's, and refused when it is another."""
    inspector = sa.inspect(connection)
    if VIEW not in inspector.get_view_names():
        return
    have = [column["name"] for column in inspector.get_columns(VIEW)]
    if have != view_columns()[: len(have)]:
        raise StoreError(
            f"{place}: {VIEW} has columns of its own; nothing was changed. Keep it under another name, then run again:"
            f" ALTER VIEW {VIEW} RENAME TO my_{VIEW}; (SQLite: DROP VIEW {VIEW};)"
        )


def view_columns() -> list[str]:
    """The names of the view's columns, in order."""
    selected = view_query().removeprefix("SELECT ").partition(" FROM ")[0].split(", ")
    return [each.rpartition(" ")[2].rpartition(".")[2] for each in selected]


def _create_view(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {VIEW} AS {view_query()}")  # keeps what is built on it
        return
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {VIEW}")
    connection.exec_driver_sql(f"CREATE VIEW {VIEW} AS {view_query()}")
