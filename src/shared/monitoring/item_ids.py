"""Ids of items as they come from a source: texts that say "none" are no ids, and one id may not stand for two cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from shared.core.records import CONTENT_FIELDS, DatasetItem

LONGEST_ID = 1000
"""Bytes of an id: Postgres holds no key of more than 2,704, and the id is a part of keys."""

_NO_IDS = frozenset(
    ("", "unknown", "none", "null", "nil", "nan", "n/a", "na", "undefined", "missing", "unset", "-", "--", "?")
)  # fmt: skip
_CONTENT_ID = "content-"  # how ids begin that `DatasetItem` makes of the content
_SHOWN = 3

_content = attrgetter(*CONTENT_FIELDS)


def is_no_id(text: str | None) -> bool:
    """Whether a text says that there is no id: `unknown`, `none`, `null`, blanks."""
    return text is None or text.strip().strip("<>()'\"").casefold() in _NO_IDS


def is_too_long(item_id: str) -> bool:
    """Whether an id has more than `LONGEST_ID` bytes."""
    return 4 * len(item_id) > LONGEST_ID and len(item_id.encode(errors="replace")) > LONGEST_ID


def is_settled_id(text: str) -> bool:
    """Whether an item keeps the id that its source gave it."""
    return not is_no_id(text) and not text.startswith(_CONTENT_ID)


def settle_id(item: DatasetItem) -> tuple[DatasetItem, str]:
    """The item with an id of its own: its source's, else its trace's, else one made of its content.

    With it the id that earlier versions made of its content, where they did; else empty.
    """
    if is_settled_id(item.id):
        return item, ""
    nothing = is_no_id(item.id)
    if not is_no_id(item.trace_id):
        apart = "" if is_no_id(item.observation_id) else f":{item.observation_id}"
        return replace(item, id=f"{item.trace_id}{apart}"), "" if nothing else item.id
    return (replace(item, id=""), "") if nothing else (item, "")


def has_same_content(one: DatasetItem, other: DatasetItem) -> bool:
    """Whether two items are the same case, whatever their ids and times."""
    return bool(_content(one) == _content(other))


def describe_shared_ids(ids: Sequence[str]) -> list[str]:
    """A warning where ids came with different content in one reading: only the first item of each id is kept."""
    if not ids:
        return []
    examples = ", ".join(map(repr, dict.fromkeys(ids[:_SHOWN])))
    return [
        f"{len(ids):,} record(s) have the id of another record and different content, such as {examples}: only the"
        " first of each id is scored. Give each record an id of its own, or set scored_store.policy: content"
    ]
