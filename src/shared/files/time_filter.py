"""Which records of a file are read: those of a window of time, and the newest of them when there is a limit."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from shared.core.clock import parse_time
from shared.core.window import UNBOUNDED, Window

_BEGINNING = datetime.min.replace(tzinfo=UTC)
"""The rank of a record without a time: older than all others."""

_SECONDS = re.compile(r"\d{9,11}(\.\d+)?", re.ASCII)
"""Texts taken for Unix seconds, as CSV has no numbers: from 1973 on, so that a bare year is not one."""


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """A window of time, and `field`, where a record keeps its time (dots go into nested objects).

    With `optional` a record may do without a time; else the bounds make one necessary.
    """

    field: str
    window: Window = UNBOUNDED
    optional: bool = False

    @property
    def needs_time(self) -> bool:
        """Whether only a record with a time can be chosen."""
        return self.window.is_bounded and not self.optional

    def read_moment(self, record: Mapping[str, Any]) -> datetime | None:
        """The record's time in UTC, None where it has none.

        Raises:
            ValueError: when the field holds something that is not a time.
        """
        value = read_field(record, self.field)
        return None if value is None else parse_moment(value)


def read_field(record: Mapping[str, Any], field: str) -> object:
    """The value of a field; a key with the whole name wins over a way into nested objects. None where it is missing."""
    if field in record or "." not in field:
        return record.get(field)
    value: object = record
    for step in field.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def parse_moment(value: object) -> datetime:
    """A moment in UTC from a datetime, a date, an ISO 8601 text, or Unix seconds as a number or a text.

    Raises:
        ValueError: when the value is none of these, or beyond the years 1 to 9999.
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    try:
        return parse_time(value)
    except (ValueError, OverflowError, OSError) as error:
        if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
            return parse_moment(float(value))
        raise ValueError(f"expected a time (ISO 8601 or Unix seconds), found {_shorten(value)}") from error


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(slots=True)
class Newest:
    """The `limit` newest records of a window, as a rule that is applied in file order.

    Kept are all records newer than `cutoff`, and of those at the cutoff the first `ties`. Records without a time rank
    as the oldest, so that a file without times gives its first records. `total` counts the records of the window.
    """

    limit: int
    total: int
    cutoff: datetime
    ties: int

    @classmethod
    def from_moments(cls, moments: Iterable[datetime | None], limit: int) -> Newest:
        """Decide from the times of all records of the window; memory grows with `limit` only."""
        kept: list[datetime] = []
        total = 0
        for moment in moments:
            total += 1
            rank = moment or _BEGINNING
            if len(kept) < limit:
                heapq.heappush(kept, rank)
            elif rank > kept[0]:
                heapq.heapreplace(kept, rank)
        cutoff = kept[0] if kept else _BEGINNING
        return cls(limit, total, cutoff, sum(rank == cutoff for rank in kept))

    @property
    def surplus(self) -> int:
        """How many records of the window are over the limit."""
        return max(0, self.total - self.limit)

    @property
    def by_time(self) -> bool:
        """Whether time decided, and not the order in the file alone."""
        return self.cutoff > _BEGINNING

    def takes(self, moment: datetime | None) -> bool:
        """Whether the next record in file order is one of them."""
        rank = moment or _BEGINNING
        if rank == self.cutoff and self.ties > 0:
            self.ties -= 1
            return True
        return rank > self.cutoff
