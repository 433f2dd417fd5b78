"""What is said of an upload of rows, and what is kept of one that is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa

from shared.core.errors import StoreError
from shared.database.upload.table_layout import TableLayout, quote_name
from shared.database.upload.value_conversion import Kind

OnConflict = Literal["error", "do_nothing", "upsert"]
"""What becomes of a row whose key is there already: the upload fails, the older row stays, or the newer one replaces
it (the last one, where an upload holds several).
"""

CHUNK = 20_000
"""Rows in one COPY or `executemany`."""


class EvaluationUploadError(StoreError):
    """Rows cannot be stored; none of their upload was. The message names table, column and row, counted from 0."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How rows go into a table. `keys` tell rows apart, by default the primary key. A column that the table does not
    have is left out, or with `add_missing` made.
    """

    table: str
    on_conflict: OnConflict = "error"
    keys: tuple[str, ...] = ()
    chunk_size: int = CHUNK
    add_missing: bool = False

    def __post_init__(self) -> None:
        if self.on_conflict not in ("error", "do_nothing", "upsert"):
            raise StoreError(f"on_conflict: expected error, do_nothing or upsert, found {self.on_conflict!r}")
        if self.chunk_size < 1:
            raise StoreError(f"chunk_size: expected a number >= 1, found {self.chunk_size!r}")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What was done: rows that were stored (on Postgres without those that were there already and stayed), and columns
    that the table does not have.
    """

    rows: int
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class UploadProgress:
    """One upload under way."""

    connection: sa.Connection
    upload: UploadOptions
    shape: TableLayout
    names: list[str]
    keys: tuple[str, ...]
    kinds: list[Kind] = field(default_factory=list)
    done: int = 0


def conflict_clause(work: UploadProgress) -> str:
    """The end of the INSERT."""
    if work.upload.on_conflict == "error":
        return ""
    keys = ", ".join(map(quote_name, work.keys))
    rest = [quote_name(name) for name in work.names if name not in work.keys]
    if work.upload.on_conflict == "do_nothing" or not rest:
        return f" ON CONFLICT ({keys}) DO NOTHING" if work.upload.keys else " ON CONFLICT DO NOTHING"
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"


def suggest_remedy(said: str) -> str:
    """What helps against a row that is there already; empty for another error."""
    if "unique" not in said.lower():
        return ""
    return ". Take on_conflict do_nothing to keep what is there, or upsert to replace it"
