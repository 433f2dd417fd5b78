"""`schedule.cron`, as crontab(5) has it, on APScheduler's triggers.

APScheduler counts weekdays from Monday as 0, knows no 7, ignores what stands behind a name (`mon-fri/2`), and wants
both day fields to match. Here names become numbers first, weekdays are cron's (0 and 7 are Sunday), and where both day
fields are restricted one of them is enough.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")
_EVERY_DATE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 12, 31, 23, 59, tzinfo=UTC))
"""A leap year: a schedule that does not run in it never runs."""


def cron_trigger(text: str, zone: tzinfo = UTC) -> BaseTrigger:
    """The times that five cron fields stand for in a time zone.

    Raises:
        ValueError: for what is no cron schedule, and for one that never runs, such as 31 February.
    """
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected cron with five fields such as '0 * * * *', found {text!r}")
    minute, hour, day = fields[:3]
    try:
        month = _with_numbers("month", fields[3], {name: number for number, name in enumerate(_MONTHS, 1)})
        weekday = _weekdays(fields[4])
        either = not (day.startswith("*") or fields[4].startswith("*"))
        pairs = ((day, "*"), ("*", weekday)) if either else ((day, weekday),)
        parts = [
            CronTrigger(minute=minute, hour=hour, day=on, month=month, day_of_week=of, timezone=zone)
            for on, of in pairs
        ]
    except ValueError as error:
        raise ValueError(f"cron {text!r}: {error}; expected minute hour day month weekday, as in crontab") from error
    found = OrTrigger(parts) if either else parts[0]
    if not any(_runs(part) for part in parts):
        raise ValueError(f"cron {text!r}: never runs, for no year has such a date")
    return found


def _runs(trigger: BaseTrigger) -> bool:
    first, last = _EVERY_DATE
    found: datetime | None = trigger.get_next_fire_time(None, first)
    return found is not None and found <= last


def _with_numbers(field: str, text: str, numbers: dict[str, int]) -> str:
    def number(hit: re.Match[str]) -> str:
        if hit[0].lower() not in numbers:
            raise ValueError(f"{field} {hit[0]!r} is none of {', '.join(numbers)}")
        return str(numbers[hit[0].lower()])

    return re.sub(r"[A-Za-z]+", number, text)


def _weekdays(text: str) -> str:
    """APScheduler's weekdays (Monday is 0) for cron's (Sunday is 0 and 7)."""
    if text == "*":
        return text
    names = {name: number for number, name in enumerate(_WEEKDAYS)}
    days: set[int] = set()
    for part in text.split(","):
        # At the end of a range Sunday is 7, so that `sat-sun` is a weekend.
        read = _WEEKDAY_PART.fullmatch(_with_numbers("weekday", re.sub("(?i)-sun", "-7", part), names))
        if read is None:
            raise ValueError(f"weekday {part!r} cannot be read")
        first, step = int(read[1] or 0), int(read[3] or 1)
        last = int(read[2]) if read[2] else max(first, 6) if read[3] or not read[1] else first
        if not (first <= last <= 7 and 1 <= step <= 6):
            raise ValueError(f"weekday {part!r}: expected 0 to 7 (0 and 7 are Sunday), steps from 1 to 6")
        days |= {(day - 1) % 7 for day in range(first, last + 1, step)}
    return ",".join(map(str, sorted(days)))
