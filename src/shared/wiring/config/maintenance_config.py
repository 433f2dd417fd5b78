"""`alerts.maintenance`: times of which nothing is watched, once or again and again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from shared.core.state.alert_records import MaintenanceWindow
from shared.wiring.config.checker import StrictModel
from shared.wiring.config.schedule_config import CronTimes, find_timezone

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([mhd])")
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = timedelta(days=7)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def parse_span(text: str) -> timedelta:
    """A length of time such as 30m, 8h or 2d.

    Raises:
        ValueError: for anything else, and for nothing.
    """
    found = _SPAN.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds < 3.2e9:
        raise ValueError(f"expected minutes, hours or days, such as 30m, 8h or 2d, found {text!r}")
    return timedelta(seconds=seconds)


def _parse_moment(value: object) -> object:
    """A time as YAML has it: some of them it reads as times itself, some as dates, some as strings."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"expected a time such as 2026-12-01T22:00, found {value!r}") from None
    return datetime.combine(value, time()) if isinstance(value, date) and not isinstance(value, datetime) else value


Moment = Annotated[datetime, BeforeValidator(_parse_moment), WithJsonSchema({"type": "string"})]


class MaintenanceConfig(StrictModel):
    """Maintenance from a time to a time, or at the times of a cron line."""

    start: Moment | None = Field(default=None, alias="from", description="when it begins, such as 2026-12-01T22:00")
    end: Moment | None = Field(default=None, alias="to", description="when it ends")
    cron: str | None = Field(default=None, description="when it begins, again and again: five fields")
    duration: str | None = Field(default=None, description="how long it lasts after each time of cron: 30m, 3h, 1d")
    timezone: str = Field(default="UTC", description="the time zone of these times, such as Europe/Berlin")
    reason: str = Field(default="", max_length=200, description="shown while it lasts")

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        find_timezone(value)
        return value

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        once, again = (self.start, self.end), (self.cron, self.duration)
        given = [None not in each for each in (once, again)]
        if sum(given) != 1 or any(each is not None for each in (again if given[0] else once)):
            raise ValueError("expected from and to, or cron and duration")
        self.build()
        return self

    def build(self) -> MaintenanceWindow:
        """The times.

        Raises:
            ValueError: when it ends before it begins, lasts over seven days at each time of cron, or leaves no hour.
        """
        zone = find_timezone(self.timezone)
        if self.cron is None or self.duration is None:
            start, end = _in_utc(self.start, zone), _in_utc(self.end, zone)
            if end <= start:
                raise ValueError(f"expected `to` after `from`, found {self.end} after {self.start}")
            return _Once(start, end, self.reason)
        length = parse_span(self.duration)
        if length > _LONGEST:
            raise ValueError(f"expected a duration of at most 7d, found {self.duration!r}")
        made = _Recurring(CronTimes(self.cron, zone), length, self.reason)
        if _leaves_nothing(made):
            raise ValueError(f"cron {self.cron!r} for {self.duration} leaves no hour of a week without maintenance")
        return made


@dataclass(frozen=True, slots=True)
class _Once:
    start: datetime
    end: datetime
    reason: str

    def stretches(self, first: datetime, last: datetime) -> Sequence[tuple[datetime, datetime]]:
        return [(self.start, self.end)] if self.start < last and first < self.end else []


@dataclass(frozen=True, slots=True)
class _Recurring:
    times: CronTimes
    length: timedelta
    reason: str

    def stretches(self, first: datetime, last: datetime) -> Sequence[tuple[datetime, datetime]]:
        found: list[tuple[datetime, datetime]] = []
        start = self.times.next_after(first - self.length)
        while start < last:
            found.append((start, start + self.length))
            start = self.times.next_after(start)
        return found


def _in_utc(moment: datetime | None, zone: ZoneInfo) -> datetime:
    if moment is None:
        raise ValueError("expected from and to, or cron and duration")
    return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)


def _leaves_nothing(window: _Recurring) -> bool:
    """Whether a week has no hour between two of them."""
    moment = window.times.next_after(_MONDAY) + window.length
    last = moment + _LONGEST
    while moment < last:
        start = window.times.next_after(moment - timedelta.resolution)
        if start - moment >= timedelta(hours=1):
            return False
        moment = start + window.length
    return True
