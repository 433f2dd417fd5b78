"""Silence is an alarm: a series that had data until lately, and has none for longer than it is used to.

Silence is measured in hours in which data is expected: by the hours of the day and the days of the week that had data
in the last four weeks, so that nights and weekends without traffic do not count. The gap that is usual is the 90th
percentile of each day's longest one, in the same measure, and an hour at least.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from shared.core.state.alert_records import Presence

KEPT = timedelta(days=28)
"""How long it is kept which hours had data: weekends are known after one, and four say how usual a gap is."""

_KEPT = KEPT // timedelta(hours=1)
_LEAST = 48  # hours without which nothing is expected
_USUAL = 0.9


class SilenceLimits(NamedTuple):
    """Up to which hour data was looked for, how many usual gaps are silence, and the hours of maintenance, in which no
    data is expected. Without `gaps` nobody can know: the last hours were not all read, so missing data is no silence.
    """

    until: datetime
    gaps: float | None
    kept_out: Collection[datetime] = ()


def note_presence(before: Presence, data: Iterable[datetime], limits: SilenceLimits) -> Presence:
    """The series with the hours that had data, as it stands within these limits."""
    known = _spread(before.stretches)
    hours = sorted({*known, *map(_number, data)})
    hours = [each for each in hours if each > hours[-1] - _KEPT]
    now = before._replace(stretches=_gather(hours))
    if hours and hours[-1] > max(known, default=-1):  # data has come: silence is over
        now = now._replace(silent_since="")
    if limits.gaps is None or now.silent_since or not hours or hours[-1] - hours[0] < _LEAST:
        return now
    if not _is_silent(hours, limits, limits.gaps):
        return now._replace(live=True)
    return now._replace(silent_since=_moment(hours[-1] + 1) if now.live else "")


class _Rhythm(NamedTuple):
    """How surely an hour has data: by the hour of its day, on days with data, and by its day of the week."""

    hours: Sequence[float]
    days: Sequence[float]
    kept_out: Collection[int]

    def expects(self, hour: int) -> float:
        return 0.0 if hour in self.kept_out else self.hours[hour % 24] * self.days[hour // 24 % 7]


def _is_silent(hours: Sequence[int], limits: SilenceLimits, gaps: float) -> bool:
    rhythm = _learn(hours, {_number(each) for each in limits.kept_out})
    last = min(_number(limits.until), hours[-1] + _KEPT)
    missed = math.fsum(map(rhythm.expects, range(hours[-1] + 1, last + 1)))
    return missed >= gaps * max(1.0, _find_usual_gap(hours, rhythm))


def _learn(hours: Sequence[int], kept_out: Collection[int]) -> _Rhythm:
    """A day of the week that was never seen expects nothing."""
    present, active = set(hours), {each // 24 for each in hours}
    watched = [each for each in range(hours[0], hours[-1] + 1) if each not in kept_out]
    seen = [each for each in watched if each // 24 in active]
    had, were = Counter(each % 24 for each in hours), Counter(each % 24 for each in seen)
    by_hour = [had[each] / were[each] if were[each] else 0.0 for each in range(24)]
    found, expected = [0.0] * 7, [0.0] * 7
    for each in watched:
        found[each // 24 % 7] += each in present
        expected[each // 24 % 7] += by_hour[each % 24]
    by_day = [min(1.0, n / of) if of else 0.0 for n, of in zip(found, expected, strict=True)]
    return _Rhythm(by_hour, by_day, kept_out)


def _find_usual_gap(hours: Sequence[int], rhythm: _Rhythm) -> float:
    present = set(hours)
    longest = {each // 24: 0.0 for each in range(hours[0], hours[-1] + 1)}
    gap = 0.0
    for each in range(hours[0], hours[-1] + 1):
        gap = 0.0 if each in present else gap + rhythm.expects(each)
        longest[each // 24] = max(longest[each // 24], gap)
    return sorted(longest.values())[math.ceil(_USUAL * len(longest)) - 1]


def _number(hour: datetime) -> int:
    return int(hour.timestamp() // 3600)


def _moment(hour: int) -> str:
    return datetime.fromtimestamp(3600 * hour, UTC).isoformat()


def _spread(stretches: Iterable[tuple[int, int]]) -> list[int]:
    return [hour for first, last in stretches for hour in range(first, last + 1)]


def _gather(hours: Sequence[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for each in hours:
        if found and found[-1][1] == each - 1:
            found[-1] = (found[-1][0], each)
        else:
            found.append((each, each))
    return tuple(found)
