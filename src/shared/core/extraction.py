"""What a source yields, and the way from its record to an item by the application's extractor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from shared.core.best_effort import attempt, error_message
from shared.core.errors import Skip
from shared.core.records import DatasetItem
from shared.core.storable_values import find_unstorable


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A record that could not become an item: where it stands and what is wrong with it. `mark` identifies one that is
    broken by itself, whatever the extractor: it is reported by one run, not by every run that reads it.
    """

    where: str
    why: str
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True, slots=True)
class SourceNotice:
    """Something that must be told about what was read. `cut`: a limit kept a part of the window from it. `behind`:
    what is left to the next run needs its window to begin so many seconds earlier.
    """

    text: str
    cut: bool = False
    behind: int = 0


@dataclass(frozen=True, slots=True)
class SkippedRecord:
    """A record that is none of the monitor's, or with `later` not yet: the id that its source knows it by, and why."""

    item_id: str
    why: str
    later: bool = False


Fetched = DatasetItem | BrokenRecord | SkippedRecord | SourceNotice
"""What a source yields."""


def extract_item(
    extract: Callable[[Any], DatasetItem], record: object, item_id: str
) -> DatasetItem | SkippedRecord | str:
    """The record's item; `SkippedRecord` when the extractor raised `Skip`; else a description of what is wrong."""
    item: object = attempt(extract, record)
    if isinstance(item, Skip):
        return SkippedRecord(item_id, str(item) or "the extractor left it out without a reason")
    if isinstance(item, Exception):
        return f"the extractor failed: {type(item).__name__}: {error_message(item)}"
    if not isinstance(item, DatasetItem):
        return f"the extractor returned {type(item).__name__}; expected a DatasetItem"
    # As it will be stored and read again: an item that cannot be is told here, not in a later run.
    unstorable = find_unstorable_field(item)
    sound = unstorable if unstorable else attempt(partial(_store_and_read, record), item)
    return sound if isinstance(sound, DatasetItem) else f"the extractor made an item that cannot be stored: {sound}"


def _store_and_read(record: object, item: DatasetItem) -> DatasetItem:
    environment = record.get("environment") if isinstance(record, Mapping) else None
    known = {"trace_environment": environment} if isinstance(environment, str) and environment else {}
    return DatasetItem.from_dict(known | item.to_dict())


_FREE_FIELDS = (
    "metadata", "trace", "additional_input", "additional_output", "actual_ranking", "expected_ranking",
    "tools_called", "expected_tools", "conversation",
)  # fmt: skip


def find_unstorable_field(item: DatasetItem) -> str:
    """Which field of an item cannot be stored, and why; empty when all can."""
    for name in _FREE_FIELDS:
        value = getattr(item, name)
        if value and (why := find_unstorable(value)):
            return f"field {name!r}: {why}"
    return ""
