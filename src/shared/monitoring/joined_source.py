"""Items of one source joined with rows of another: each item takes over the columns of the row that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.core.extraction import BrokenRecord, Fetched, SkippedRecord, SourceNotice, extract_item
from shared.core.ports import DataSource
from shared.core.records import DatasetItem
from shared.core.window import Window

Row = Mapping[str, Any]
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinRule:
    """How items and rows belong together: by the values of `item_fields` (names in the item, its `metadata` or its
    `additional_input`) and of `row_columns`, compared as texts. `time_column` tells which of several rows is the
    newest; `id_column` holds the ids of the joined items, which else keep their own. `buffer` widens the window of the
    rows.
    """

    item_fields: tuple[str, ...]
    row_columns: tuple[str, ...]
    time_column: str
    id_column: str | None = None
    buffer: timedelta = timedelta()

    def item_key(self, item: DatasetItem) -> Key | None:
        """The item's key, None where it lacks a field."""
        return _key(_find_field(item, name) for name in self.item_fields)

    def row_key(self, row: Row) -> Key | None:
        """The row's key, None where it lacks a column."""
        return _key(row.get(name) for name in self.row_columns)


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """`items` joined with `rows`, which are read for a window. The items of a window are held in memory, the rows are
    not. An item without a row is skipped.
    """

    items: DataSource
    rows: Callable[[Window], Iterable[Row]]
    rule: JoinRule
    extract: Callable[[Any], DatasetItem]

    def fetch(self, now: datetime, end: datetime | None) -> Iterator[Fetched]:
        """Yield the joined items of a window that ends at `end` (open: now).

        Raises:
            As both sources.
        """
        waiting: dict[str, tuple[DatasetItem, Key]] = {}
        for found in self.items.fetch(now):
            key = self.rule.item_key(found) if isinstance(found, DatasetItem) else None
            if not isinstance(found, DatasetItem):
                yield found
            elif key is None:
                yield SkippedRecord(found.id, f"it has no {' and '.join(self.rule.item_fields)} to join by")
            else:
                waiting[found.id] = (found, key)
        rows, several = self._newest_rows({key for _, key in waiting.values()}, waiting, end or now)
        if several:
            yield SourceNotice(f"{several} row(s) belong to an item that has a newer one: the newest is taken")
        for item, key in waiting.values():
            row = rows.get(key)
            yield self._join(item, row) if row is not None else SkippedRecord(item.id, self._no_row())

    def _newest_rows(
        self, wanted: set[Key], waiting: Mapping[str, tuple[DatasetItem, Key]], end: datetime
    ) -> tuple[dict[Key, Row], int]:
        """The newest row of each key, and how many others there were."""
        found: dict[Key, Row] = {}
        several = 0
        times = [item.source_timestamp for item, _ in waiting.values() if item.source_timestamp is not None]
        if not wanted:
            return found, several
        low = min(times) - self.rule.buffer if times else None
        for row in self.rows(Window(low, end + self.rule.buffer)):
            key = self.rule.row_key(row)
            if key is None or key not in wanted:
                continue
            several += key in found
            if key not in found or self._time_of(row) > self._time_of(found[key]):
                found[key] = row
        return found, several

    def _join(self, item: DatasetItem, row: Row) -> Fetched:
        record = item.to_dict()
        record["additional_input"] = {**record.get("additional_input", {}), **row}
        if self.rule.id_column is not None:
            if row.get(self.rule.id_column) in (None, ""):
                return BrokenRecord(f"item {item.id}", f"its row has no {self.rule.id_column!r}, which is to be its id")
            record["id"] = str(row[self.rule.id_column])
        made = extract_item(self.extract, record, record["id"])
        return BrokenRecord(f"item {record['id']}", made) if isinstance(made, str) else made

    def _no_row(self) -> str:
        return f"no row has its {' and '.join(self.rule.item_fields)} in {' and '.join(self.rule.row_columns)}"

    def _time_of(self, row: Row) -> str:
        return str(row.get(self.rule.time_column, ""))


def _find_field(item: DatasetItem, name: str) -> object:
    own = item.get("id" if name == "dataset_id" else name)
    places = (item.metadata, item.additional_input)
    return own if own is not None else next((each[name] for each in places if each.get(name) is not None), None)


def _key(values: Iterable[object]) -> Key | None:
    found = tuple(None if value is None else str(value).strip() for value in values)
    return None if any(value in (None, "") for value in found) else tuple(str(value) for value in found)
