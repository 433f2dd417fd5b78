"""`DriftStates` on a database: what a detector has gathered, replaced only by who has read the latest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from shared.core.errors import StoreError
from shared.core.state.drift_states import DriftKey, DriftState
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert
from shared.database.schema.store_tables import drift_state as table


class SqlDriftStates:
    """`DriftStates` on `database`. Every method raises `StoreError` when the database cannot be read or written;
    `put` also for a version below 0.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: DriftKey) -> DriftState:
        query = sa.select(table.c.state, table.c.version).where(*_is_row_of(key))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return DriftState({}) if row is None else DriftState(row.state, row.version)

    def put(self, key: DriftKey, value: Mapping[str, Any], expected: int) -> bool:
        if expected < 0:
            raise StoreError(f"expected a version >= 0, found {expected}")
        made = {"state": dict(value), "version": expected + 1}
        with self._database.write() as connection:
            if expected == 0:
                insert = build_insert(connection, table).values(**_columns(key), **made)
                stored = connection.execute(insert.on_conflict_do_nothing().returning(table.c.version))
                return stored.first() is not None
            update = sa.update(table).where(*_is_row_of(key), table.c.version == expected).values(**made)
            return connection.execute(update).rowcount == 1


def _columns(key: DriftKey) -> dict[str, str]:
    stream = key.stream
    names = {"source_key": stream.source_key, "monitor_key": stream.monitor_key}
    return {**names, "label": key.label, "detector": key.detector}


def _is_row_of(key: DriftKey) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in _columns(key).items()]
