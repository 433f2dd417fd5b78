"""What a table of a user's database looks like: its columns, and which kind of value each holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import NoSuchTableError

from shared.core.errors import StoreError
from shared.core.registry import hint
from shared.database.upload.evaluation_tables import kinds_of
from shared.database.upload.json_values import to_native
from shared.database.upload.value_conversion import Kind

_KINDS: tuple[tuple[type[Any], Kind], ...] = (
    (sa.JSON, "json"),
    (sa.Boolean, "bool"),
    (sa.BigInteger, "big"),
    (sa.SmallInteger, "small"),
    (sa.Integer, "int"),
    (sa.Float, "float"),
    (sa.Numeric, "number"),
    (sa.Date, "date"),
    (sa.String, "text"),
)
_NEW: tuple[tuple[tuple[type[Any], ...], str], ...] = (
    ((bool,), "BOOLEAN"),
    ((int,), "BIGINT"),
    ((int, float), "DOUBLE PRECISION"),
    ((int, float, Decimal), "NUMERIC"),
    ((date,), "TIMESTAMP WITH TIME ZONE"),
    ((Mapping, list, tuple), "JSONB"),
)


_LONGEST = 63
"""Bytes of a name that Postgres keeps."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table: its full name, quoted for SQL and as it is said, the kinds of its columns, its primary key, and the
    columns that the server alone may number."""

    sql: str
    said: str
    kinds: Mapping[str, Kind]
    key: tuple[str, ...]
    numbered: frozenset[str] = frozenset()

    def kinds_of(self, names: Iterable[str], conflict: Iterable[str] = ()) -> list[Kind]:
        """The kinds of these columns; texts that rows are known by cannot be empty."""
        strict = {*self.key, *conflict}
        return ["id" if name in strict and self.kinds[name] == "text" else self.kinds[name] for name in names]


def read_layout(connection: sa.Connection, table: str) -> TableLayout:
    """The shape of a table, given as `name` or `schema.name`.

    Raises:
        StoreError: when there is no such table, naming the nearest.
    """
    schema, _, name = table.rpartition(".")
    inspector = sa.inspect(connection)
    try:
        columns = inspector.get_columns(name, schema=schema or None)
    except NoSuchTableError as error:
        known = inspector.get_table_names(schema=schema or None)
        raise StoreError(f"there is no table {table!r}. {hint(name, known)}") from error
    key = inspector.get_pk_constraint(name, schema=schema or None)["constrained_columns"]
    on_file = connection.dialect.name == "sqlite"
    kinds = {column["name"]: _kind(column["type"], on_file) for column in columns}
    if on_file:
        kinds |= {each: kind for each, kind in kinds_of(name).items() if each in kinds}
    sql = f"{quote_name(schema)}.{quote_name(name)}" if schema else quote_name(name)
    numbered = frozenset(column["name"] for column in columns if column.get("identity", {}).get("always"))
    return TableLayout(sql, table, kinds, tuple(key), numbered)


def quote_name(name: str) -> str:
    """A name as SQL's identifier, exactly as it is."""
    return '"' + name.replace('"', '""') + '"'


def add_columns(connection: sa.Connection, shape: TableLayout, columns: Mapping[str, Iterable[Any]]) -> TableLayout:
    """Add columns to the table, of types that hold the given values; the shape afterwards.

    Raises:
        StoreError: for a name that is too long for the server.
    """
    raw: Any = connection.connection.driver_connection  # SQLAlchemy would read a % in a name as its own
    on_file = connection.dialect.name == "sqlite"
    long = [name for name in columns if len(name.encode("utf-8", "replace")) > _LONGEST]
    if long and not on_file:  # the server would cut it, and the values be put nowhere
        raise StoreError(
            f"{shape.said}: expected names of columns of at most {_LONGEST} bytes, found {long[0]!r}; rename it"
        )
    for name, values in columns.items():
        declared = _narrowest_type(values)
        declared = "JSON" if on_file and declared == "JSONB" else declared
        raw.execute(f"ALTER TABLE {shape.sql} ADD COLUMN {quote_name(name)} {declared}")
    return read_layout(connection, shape.said)


def _kind(type_: sa.types.TypeEngine[Any], on_file: bool) -> Kind:
    if isinstance(type_, sa.DateTime):
        return "moment" if on_file or type_.timezone else "naive"
    found: Kind = next((kind for known, kind in _KINDS if isinstance(type_, known)), "other")
    return "big" if on_file and found == "int" else found


def _narrowest_type(values: Iterable[Any]) -> str:
    """The narrowest type that holds all of the values."""
    found = {type(value) for value in map(to_native, values) if value is not None and value == value}
    if not found:
        return "TEXT"
    fits = (declared for types, declared in _NEW if all(_is(each, types) for each in found))
    return next(fits, "TEXT")


def _is(found: type[Any], wanted: tuple[type[Any], ...]) -> bool:
    return issubclass(found, wanted) and (bool in wanted or not issubclass(found, bool))
