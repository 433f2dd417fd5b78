"""The block `schedule`: when a scheduler runs the monitor, as its model and as the times that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from shared.core.registry import nearest_name
from shared.wiring.config.checker import StrictModel
from shared.wiring.config.cron import cron_trigger

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

_STEP = timedelta(microseconds=1)


class Schedule(StrictModel):
    """When a long-lived scheduler runs the monitor; a cron job needs none."""

    interval_minutes: float | None = Field(
        default=None, ge=0.01, le=525_600, description="a run every so many minutes, counted from the last one"
    )
    cron: str | None = Field(default=None, description="five fields: minute hour day month weekday")
    timezone: str = Field(default="UTC", description="the time zone of `cron`, such as Europe/Berlin")
    jitter_seconds: float = Field(
        default=0.0, ge=0, le=86_400, description="each run starts up to so many seconds later, at random"
    )

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        find_timezone(value)
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.interval_minutes is None) == (self.cron is None):
            found = "both" if self.cron is not None else "neither"
            raise ValueError(f"expected exactly one of interval_minutes and cron, found {found}")
        self.times()
        if self.interval_minutes is not None and self.jitter_seconds > self.interval_minutes * 60:
            raise ValueError(
                f"expected jitter_seconds of at most the interval, {self.interval_minutes * 60:g}, found"
                f" {self.jitter_seconds:g}"
            )
        return self

    def times(self) -> IntervalTimes | CronTimes:
        """The times of the runs.

        Raises:
            ValueError: for what is no cron schedule, and for one that never runs.
        """
        if self.cron is not None:
            return CronTimes(self.cron, find_timezone(self.timezone))
        return IntervalTimes(timedelta(minutes=self.interval_minutes or 0))

    def __str__(self) -> str:
        if self.cron is None:
            return f"every {self.interval_minutes:g} min"
        return f"cron {self.cron} {self.timezone}"


@dataclass(frozen=True, slots=True)
class IntervalTimes:
    """The same time after each time, whatever clocks on the wall show."""

    interval: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """The time that follows a moment, in UTC."""
        return moment + self.interval


class CronTimes:
    """The times of a crontab line in a time zone.

    Where clocks are put forward, a time that the day skips is run when the skipped hour is over. Where they are put
    back, a time that comes twice is run the first time only, unless the hour field begins with `*`: such a line is
    about hours that pass, and each of them has its run.
    """

    def __init__(self, text: str, zone: tzinfo = UTC) -> None:
        self._trigger: BaseTrigger = cron_trigger(text, zone)
        self._zone, self._every_hour = zone, text.split()[1].startswith("*")

    def next_after(self, moment: datetime) -> datetime:
        """The time that follows a moment, in UTC."""
        while True:
            found: datetime = self._trigger.get_next_fire_time(None, moment + _STEP)
            if self._every_hour or not found.astimezone(UTC).astimezone(self._zone).fold:
                return found.astimezone(UTC)
            moment = found.astimezone(UTC)


def find_timezone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ValueError: when there is none, with the nearest name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        close = nearest_name(name, sorted(available_timezones()))
        raise ValueError(
            f"expected the name of a time zone such as UTC or Europe/Berlin, found {name!r}."
            + (f" Did you mean {close!r}?" if close else "")
        ) from error
