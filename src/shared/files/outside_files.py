"""Files that surely hold nothing of a window of time, by their names or modification times: they are not opened.

A record is written after it happened, so a file that was modified more than a day before the window begins holds
nothing of it. (A day, for clocks and zones; where the clock of this machine is more than a day behind the run's,
modification times say nothing.)

Of files that have a date in their names, and are called alike otherwise, each holds what came between its neighbours,
whether it is named by its beginning or by its end. Where the modification times of some of them agree with that, an
older one that was modified later has been appended to, and is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from shared.core.clock import utc_now
from shared.core.window import Window

_MARGIN = timedelta(days=1)
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_./]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:[-_T./ ]?([01]\d|2[0-3])(?:[-_:.]?[0-5]\d){0,2}Z?)?(?!\d)"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A file with a date in its name."""

    path: str
    begin: datetime
    length: timedelta


def find_outside(paths: Iterable[str], window: Window, now: datetime) -> set[str]:
    """Those of the files that surely hold nothing of the window, in a run that starts at `now`."""
    modified = _read_times(paths) if now < utc_now() + _MARGIN else {}
    start = window.start
    old = {path for path, at in modified.items() if start is not None and at + _MARGIN < start}
    for files in _group_by_name(paths):
        old.update(_outside_by_name(files, window, modified))
    return old


def _read_times(paths: Iterable[str]) -> dict[str, datetime]:
    found = {}
    for path in paths:
        with suppress(OSError, OverflowError, ValueError):  # who opens it finds out
            found[path] = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
    return found


def _group_by_name(paths: Iterable[str]) -> Iterator[Sequence[_Named]]:
    """Files that are called alike but for their dates, oldest first."""
    groups: dict[str, list[_Named]] = {}
    for path in paths:
        for match in list(_DATE.finditer(path))[-1:]:
            year, _, month, day, hour = match.groups()
            with suppress(ValueError):  # the 31st of February
                begin = datetime(int(year), int(month), int(day), int(hour or 0), tzinfo=UTC)
                named = _Named(path, begin, timedelta(hours=1) if hour else timedelta(days=1))
                alike = f"{path[: match.start()]}*{path[match.end() :].removesuffix('.gz')}"
                groups.setdefault(alike, []).append(named)
    return (sorted(files, key=lambda each: each.begin) for files in groups.values())


def _outside_by_name(files: Sequence[_Named], window: Window, modified: Mapping[str, datetime]) -> Iterator[str]:
    ends = {one.path: after.begin + after.length + _MARGIN for one, after in pairwise(files)}
    late = {path for path, end in ends.items() if path in modified and modified[path] > end}
    informative = len(late) < len(ends)
    for path, end in ends.items():
        if window.start is not None and end < window.start and not (informative and path in late):
            yield path
    for before, one in pairwise(files):
        if window.end is not None and before.begin - _MARGIN >= window.end:
            yield one.path
