"""From the earlier system's tables to the present layout, in the caller's transaction.

A row's new key is made of its old one: `dataset_key` is its `dataset_id`, `result_key` the JSON list of run, id and
metric, so old rows stay as distinct as they were, and what they refer to stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from shared.core.errors import StoreError
from shared.database.upload.evaluation_tables import VIEW, dataset, results

OLDER_KEYS: Mapping[str, set[str]] = {
    "evaluation_dataset": {"dataset_id"},
    "evaluation_results": {"run_id", "dataset_id", "metric_name"},
}
"""The primary keys of the earlier system, by table."""

_KEYS = {
    "evaluation_dataset": {"dataset_key": "dataset_id"},
    "evaluation_results": {"dataset_key": "dataset_id", "item_id": "dataset_id", "result_key": "{array}"},
}
_ARRAY = {
    "postgresql": "jsonb_build_array(run_id, dataset_id, metric_name)::text",
    "sqlite": "json_array(run_id, dataset_id, metric_name)",
}

_REFERENCES = """
    SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'evaluation_dataset'::regclass
"""
_PRIMARY = "SELECT quote_ident(conname) FROM pg_constraint WHERE contype = 'p' AND conrelid = CAST(:name AS regclass)"
_ORPHANS = """
    SELECT count(*) FROM evaluation_results r
    WHERE NOT EXISTS (SELECT 1 FROM evaluation_dataset d WHERE d.dataset_key = r.dataset_key)
"""


def upgrade_on_postgres(connection: sa.Connection, place: str) -> None:
    """Alter the tables in place.

    Raises:
        StoreError: when tables of the user's refer to the old key; it names the commands to run first.
    """
    run = connection.exec_driver_sql
    run("LOCK TABLE evaluation_dataset, evaluation_results IN ACCESS EXCLUSIVE MODE")
    if not _keyed_as_before(connection):
        _complete(connection)
        return
    references = [(str(table), str(name)) for table, name in connection.execute(sa.text(_REFERENCES))]
    others = [each for each in references if each[0].rpartition(".")[2] != results.name]
    if others:
        commands = " ".join(f"ALTER TABLE {table} DROP CONSTRAINT {name};" for table, name in others)
        raise StoreError(
            f"{place}: tables of yours refer to evaluation_dataset (dataset_id), which will not be unique any more;"
            f" nothing was changed. Run this, then run again: {commands}"
        )
    for table, name in references:
        run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for made in (dataset, results):
        _alter(connection, made)
    key = "FOREIGN KEY (dataset_key) REFERENCES evaluation_dataset (dataset_key)"
    run(f"ALTER TABLE evaluation_results ADD CONSTRAINT evaluation_results_dataset_key_fkey {key} NOT VALID")
    if not connection.scalar(sa.text(_ORPHANS)):  # rows without their item are kept as they are
        run("ALTER TABLE evaluation_results VALIDATE CONSTRAINT evaluation_results_dataset_key_fkey")


def _keyed_as_before(connection: sa.Connection) -> bool:
    key = sa.inspect(connection).get_pk_constraint(dataset.name)["constrained_columns"]
    return set(key) == OLDER_KEYS[dataset.name]


def _complete(connection: sa.Connection) -> None:
    """Add columns and indexes that are missing; the keys are the present ones."""
    for table in (dataset, results):
        _add_missing(connection, table)
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def _alter(connection: sa.Connection, table: sa.Table) -> None:
    run = connection.exec_driver_sql
    _add_missing(connection, table)
    _fill(connection, table)
    for name in connection.scalars(sa.text(_PRIMARY), {"name": table.name}).all():
        run(f"ALTER TABLE {table.name} DROP CONSTRAINT {name}")
    key = ", ".join(column.name for column in table.primary_key.columns)
    run(f"ALTER TABLE {table.name} ADD PRIMARY KEY ({key})")
    if table is results:
        run(f"ALTER TABLE {table.name} ALTER COLUMN dataset_key SET NOT NULL")
    for index in table.indexes:
        index.create(connection, checkfirst=True)


def _fill(connection: sa.Connection, table: sa.Table) -> None:
    array = _ARRAY[connection.dialect.name]
    for name, made_of in _KEYS[table.name].items():
        value = made_of.format(array=array)
        connection.exec_driver_sql(f"UPDATE {table.name} SET {name} = {value} WHERE {name} IS NULL")


def _add_missing(connection: sa.Connection, table: sa.Table) -> None:
    have = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in have:
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(
                f"ALTER TABLE {table.name} ADD COLUMN {_quote_name(connection, column.name)} {kind}"
            )


def upgrade_on_sqlite(connection: sa.Connection, place: str) -> None:
    """Make the tables anew beside the old ones and move the rows, as SQLite cannot change a key in place."""
    if not _keyed_as_before(connection):
        _complete(connection)
        return
    run = connection.exec_driver_sql
    run("PRAGMA legacy_alter_table = ON")  # what names the table shall go on naming it, also while it is away
    run(f"DROP VIEW IF EXISTS {VIEW}")
    for table in (dataset, results):
        _rebuild_table(connection, table)
    run("PRAGMA legacy_alter_table = OFF")


def _rebuild_table(connection: sa.Connection, table: sa.Table) -> None:
    run, away = connection.exec_driver_sql, f"{table.name}__older"
    _add_missing(connection, table)
    _fill(connection, table)
    kept = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger')"
    about = [row for row in run(kept, (table.name,)).all() if row.sql]
    for row in about:
        run(f"DROP {row.type} {_quote_name(connection, row.name)}")
    run(f"ALTER TABLE {table.name} RENAME TO {away}")
    table.create(connection)
    added = _columns_of_users(connection, away, table)
    for name, declared in added:
        run(f"ALTER TABLE {table.name} ADD COLUMN {_quote_name(connection, name)} {declared}")
    names = [column.name for column in table.columns] + [name for name, _ in added]
    columns = ", ".join(_quote_name(connection, name) for name in names)
    run(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {away}")
    run(f"DROP TABLE {away}")
    ours = {index.name for index in table.indexes}
    for row in about:
        if row.name not in ours:
            run(row.sql)


def _columns_of_users(connection: sa.Connection, away: str, table: sa.Table) -> list[tuple[str, str]]:
    """Columns that users added, and how they were declared."""
    rows = connection.exec_driver_sql(f"PRAGMA table_info({away})").all()
    return [
        (row.name, row.type + (f" DEFAULT {row.dflt_value}" if row.dflt_value is not None else ""))
        for row in rows
        if row.name not in table.columns
    ]


def _quote_name(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
