"""Column types that mean the same on SQLite and on Postgres."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON

from shared.core.clock import as_utc, iso
from shared.core.digests import to_plain
from shared.core.errors import StoreError

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=to_plain).encode
_escaped = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=to_plain).encode


# Rows stored together share their moments, and both ways cost more than all the rest of a row.
_format_time = lru_cache(1024)(iso)


@lru_cache(1024)
def _parse_time(text: str) -> datetime:
    return as_utc(datetime.fromisoformat(text))


def is_encodable(text: str) -> bool:
    """Whether the text is valid Unicode; half a surrogate pair, as cut emoji leave it, cannot be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value: canonical text on both; on Postgres of type json, not jsonb, which would spell numbers anew and
    refuse NUL and half a surrogate pair. None is NULL; NaN and infinity survive on SQLite, and are null on Postgres.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(JSON() if dialect.name == "postgresql" else sa.Text())

    def process_bind_param(self, value: object, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        try:
            text = _canonical(value)
        except TypeError:  # keys that are no texts
            text = _canonical(to_plain(value))
        if dialect.name == "postgresql" and ("NaN" in text or "Infinity" in text):
            text = _canonical(json.loads(text, parse_constant=lambda name: None))
        return text if is_encodable(text) else _escaped(json.loads(text))

    def process_result_value(self, value: object, dialect: sa.Dialect) -> object:
        if value is None or dialect.name == "postgresql":
            return value
        try:
            return json.loads(str(value))
        except ValueError as error:
            raise StoreError(
                f"a stored JSON value cannot be read ({error}): {str(value)[:80]!r}; restore a copy"
            ) from error


Id = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""An id: compared and sorted by its bytes on both, so that pages of ids follow one another the same way."""


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC: ISO 8601 text on SQLite (texts sort as the moments do), timestamptz on Postgres."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.Text())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | str | None:
        if value is None:
            return None
        return as_utc(value) if dialect.name == "postgresql" else _format_time(value)

    def process_result_value(self, value: datetime | str | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return _parse_time(value) if isinstance(value, str) else as_utc(value)


class Prose(sa.types.TypeDecorator[str]):
    """Text for people to read: what a database cannot hold (NUL, half a surrogate pair) is written as an escape."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None or (is_encodable(value) and "\0" not in value):
            return value
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def columns(
    type_: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]],
    *names: str,
    primary_key: bool = False,
    nullable: bool = True,
) -> list[sa.Column[Any]]:
    """Columns that are alike but for their names."""
    nullable = nullable and not primary_key
    return [sa.Column(name, type_, primary_key=primary_key, nullable=nullable) for name in names]
