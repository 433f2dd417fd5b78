"""The lines of a large JSON Lines file that may lie in a window of time, found without parsing the others.

All that stands behind the name of the time's field is looked at, a block of lines at a time. A block in which it stands
as often as there are lines, each time with a moment surely outside of the window, is passed over; of other blocks each
line is looked at for itself. What is spelled in any other way is handed on, to be judged as a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from shared.core.errors import SourceError
from shared.files.discovery import BLOCK, LONG, File
from shared.files.time_filter import TimeFilter

SMALLEST = 8_000_000
"""Bytes of lines from which on a file is scanned; a smaller one is parsed faster than it is worth."""

_MOST_EXAMINED = 64_000_000  # bytes whose lines were looked at one by one, before a file counts as unsorted
_HOUR = re.compile(rb'"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[T ](?:[01]\d|2[0-3])')
_HEAD = len(b'"2026-03-01T12')
_NAIVE = re.compile(rb'"[\d-]{10}[T ][\d:]{2,8}(?:\.\d+)?')
_UTC_ENDS = (b"Z", b"+00:00")
_DAY, _HOUR_LONG, _NONE = timedelta(days=1), timedelta(hours=1), timedelta()
_SECONDS = (1e8, 1e11)  # numbers that are surely Unix seconds


def may_scan(file: File, time_filter: TimeFilter) -> bool:
    """Whether a file is scanned: a large one of plain bytes, with the time in a field of its records."""
    shape = file.shape
    plain = not (shape.odd or shape.long_lines) and "." not in time_filter.field
    return plain and shape.size > SMALLEST and time_filter.needs_time


def scan_lines(file: File, time_filter: TimeFilter) -> Generator[tuple[int, bytes], None, int]:
    """The lines that may be in the window, counted from 1; the number of the last line that was looked at. A file whose
    times are in no order is left in the middle.

    Raises:
        SourceError: when the file cannot be read, or is shorter than it was.
    """
    key = json.dumps(time_filter.field, ensure_ascii=False).encode()
    find_times = re.compile(re.escape(key) + rb'\s*:\s*("[^"\\]*|[^",}\s]*)').findall
    outside = _Outside(time_filter)
    number = examined = read = 0
    for block, size, count in _line_blocks(file):
        read += size
        times = find_times(block, 0, size)
        if len(times) == count and outside.has_all(times):
            number += count
            continue
        for line in bytes(block[:size]).removesuffix(b"\n").split(b"\n"):
            number += 1
            times = find_times(line)
            if len(times) != 1 or not outside.has_all(times):
                yield number, line
        examined += size
        if examined > _MOST_EXAMINED and 2 * examined > read:
            break
    return number


def _line_blocks(file: File) -> Iterator[tuple[bytearray, int, int]]:
    """Whole lines, always in the same buffer: how many bytes of it, and how many lines. Lines that were appended since
    the file was looked over are left out."""
    buffer = bytearray(LONG + 3 * BLOCK)  # no line is longer
    left, rest = file.shape.size, 0
    with file.open() as handle, memoryview(buffer) as view:
        for count in file.shape.counts:
            came = handle.readinto(view[rest : rest + min(left, BLOCK)])  # type: ignore[attr-defined]  # IO has it
            left, filled = left - came, rest + came
            end = buffer.rfind(b"\n", 0, filled) + 1
            if end:
                yield buffer, end, count
            view[: filled - end] = bytes(view[end:filled])
            rest = filled - end
    if left:
        raise SourceError(f"{file.name}: its last {left:,} bytes are gone; it changed while it was read: run again")
    if rest:
        yield buffer, rest, 1


class _Outside:
    """Which times, as they stand in a file, are surely outside of the window."""

    def __init__(self, time_filter: TimeFilter) -> None:
        self._start, self._end = time_filter.window.start, time_filter.window.end
        self._hours: dict[tuple[bytes, timedelta], bool] = {}

    def has_all(self, times: Sequence[bytes]) -> bool:
        """Whether it is all of these."""
        hours = {each[:_HEAD] for each in times}
        # A time with a zone is at most a day from what it says.
        if all(self._has_hour(each, _DAY) for each in hours):
            return True
        if all(self._has_hour(each, _NONE) for each in hours):
            return all(each.endswith(_UTC_ENDS) or _NAIVE.fullmatch(each) for each in times)
        return self._has_seconds(times)

    def _has_hour(self, head: bytes, zone: timedelta) -> bool:
        found = self._hours.get((head, zone))
        if found is None:
            found = self._hours[head, zone] = self._has_new_hour(head, zone)
        return found

    def _has_new_hour(self, head: bytes, zone: timedelta) -> bool:
        if not _HOUR.fullmatch(head):
            return False
        try:
            begin = datetime.fromisoformat(head[1:].decode()).replace(tzinfo=UTC)
        except ValueError:
            return False
        return self._has_between(begin - zone, begin + _HOUR_LONG + zone)

    def _has_between(self, first: datetime, last: datetime) -> bool:
        """Whether all moments from the first to the last are outside."""
        before = self._start is not None and last < self._start
        return before or (self._end is not None and first >= self._end)

    def _has_seconds(self, times: Sequence[bytes]) -> bool:
        try:
            moments = [float(each.strip(b'"')) for each in times]
        except ValueError:
            return False
        low, high = min(moments, default=0.0), max(moments, default=0.0)
        if not _SECONDS[0] < low <= high < _SECONDS[1]:
            return False
        return self._has_between(datetime.fromtimestamp(low - 1, UTC), datetime.fromtimestamp(high + 1, UTC))
