"""What a source yields, and the way from its record to an item by the application's extractor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from shared.core.best_effort import attempt, error_message
from shared.core.errors import Skip
from shared.core.records import DEFAULTS, DatasetItem
from shared.core.storable_values import find_unstorable, is_plain

Extractor = TypeVar("Extractor", bound=Callable[[Any], DatasetItem])


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


@dataclass(frozen=True, slots=True)
class PendingRecord:
    """A record whose item will have the id `item_id`, before the extractor has seen it: where that id is known
    already, nothing need be made of it.
    """

    item_id: str
    make: Callable[[], DatasetItem | BrokenRecord | SkippedRecord]

    def extract(self) -> DatasetItem | BrokenRecord | SkippedRecord:
        """The record's item, or what is wrong with it."""
        found = self.make()
        if isinstance(found, DatasetItem) and found.id != self.item_id:
            where = f"item {found.id[:60]!r}"
            return BrokenRecord(where, f"its extractor is declared with `item_id_from`, which gives {self.item_id!r}")
        return found


FetchedOrPending = Fetched | PendingRecord


def item_id_from(field: str) -> Callable[[Extractor], Extractor]:
    """Declare that the items of an extractor have the id that stands in this field of the record, so that records of
    items that are known already are not extracted again.
    """

    def declare(extract: Extractor) -> Extractor:
        extract.item_id_field = field  # type: ignore[attr-defined]  # functions take attributes
        return extract

    return declare


def pend_record(
    extract: Callable[[Any], DatasetItem],
    record: Mapping[str, Any],
    make: Callable[[], DatasetItem | BrokenRecord | SkippedRecord],
) -> DatasetItem | BrokenRecord | SkippedRecord | PendingRecord:
    """The record, still to be made where its extractor declares the item's id; else what `make` makes of it."""
    item_id = _find_item_id(extract, record)
    return PendingRecord(item_id, make) if item_id else make()


def _find_item_id(extract: Callable[[Any], DatasetItem], record: Mapping[str, Any]) -> str:
    field = "id" if extract == DatasetItem.from_dict else getattr(extract, "item_id_field", None)
    value = "" if field is None else record.get(field)
    return value if isinstance(value, str) else ""


def extract_pending(records: Iterable[FetchedOrPending]) -> Iterator[Fetched]:
    """The records with every pending one extracted."""
    return (each.extract() if isinstance(each, PendingRecord) else each for each in records)


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
    sound = as_stored(item)  # an item that cannot be is reported here, not by a later run
    if isinstance(sound, str):
        return f"the extractor made an item that cannot be stored: {sound}"
    environment = record.get("environment") if isinstance(record, Mapping) else None
    if isinstance(environment, str) and environment and environment != sound.trace_environment:
        return DatasetItem(*(*sound.values[:-1], environment))
    return sound


def as_stored(item: DatasetItem) -> DatasetItem | str:
    """The item as stores give it back (lists for tuples in free fields, plain values for records), or why it cannot be
    stored.
    """
    for value, usual, is_kept in zip(item.values, DEFAULTS, _KEPT, strict=True):
        if value is not usual and not is_kept(value):
            break
    else:
        return item
    for name in _FREE_FIELDS:
        value = getattr(item, name)
        if value and (why := find_unstorable(value)):
            return f"field {name!r}: {why}"
    read = attempt(_store_and_read, item)
    return read if isinstance(read, DatasetItem) else str(read)


def _store_and_read(item: DatasetItem) -> DatasetItem:
    return DatasetItem.from_dict({"trace_environment": item.trace_environment} | item.to_dict())


_FREE_FIELDS = (
    "metadata", "trace", "additional_input", "additional_output", "actual_ranking", "expected_ranking",
    "tools_called", "expected_tools", "conversation",
)  # fmt: skip


def _is_text(value: object) -> bool:
    return type(value) is str


def _are_texts(value: object) -> bool:
    return type(value) is tuple and set(map(type, value)) <= {str}


def _is_mapping(value: object) -> bool:
    return type(value) is dict and (not value or is_plain(value))


def _is_ranking(value: object) -> bool:
    return type(value) is tuple and all(type(each) is dict and "id" in each and is_plain(each) for each in value)


def _is_time(value: object) -> bool:
    return type(value) is datetime


def _are_logprobs(value: object) -> bool:
    return type(value) is tuple and all(type(each) is float and each <= 0 for each in value)


def _is_seconds(value: object) -> bool:
    return type(value) is float and 0 <= value < math.inf


def _is_judgment(value: object) -> bool:
    return type(value) is str or type(value) is int


def _is_never(value: object) -> bool:
    return False  # records of records: they are stored and read


_KEPT_BY_NAME: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("retrieved_content", "negatives", "acceptance_criteria", "user_tags"), _are_texts),
    **dict.fromkeys(("metadata", "trace", "additional_input", "additional_output"), _is_mapping),
    **dict.fromkeys(("actual_ranking", "expected_ranking"), _is_ranking),
    **dict.fromkeys(("tools_called", "expected_tools", "conversation"), _is_never),
    "token_logprobs": _are_logprobs,
    "latency": _is_seconds,
    "source_timestamp": _is_time,
    "judgment": _is_judgment,
}
_KEPT = tuple(_KEPT_BY_NAME.get(each.name, _is_text) for each in dataclasses.fields(DatasetItem))
"""For each field whether a value other than the default is read again just as it was stored."""
