"""Windows of time: which records a run reads, as the configuration says it and as it stands at one moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.core.clock import as_utc


@dataclass(frozen=True, slots=True)
class Window:
    """Times in [start, end), in UTC; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether any time lies outside."""
        return self.start is not None or self.end is not None

    def contains(self, moment: datetime) -> bool:
        """Whether the moment lies inside."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)


UNBOUNDED = Window()


@dataclass(frozen=True, slots=True)
class WindowSupport:
    """What a source class says of windows in its attribute `window_support`: whether the configuration must name one,
    and how far a window looks back unless the configuration says otherwise: every window by `look_back_minutes`, one
    that goes on from an earlier run by `late_minutes`.
    """

    required: bool = False
    look_back_minutes: float = 0.0
    late_minutes: float = 0.0


@dataclass(frozen=True, slots=True)
class WindowRule:
    """A window as configured; without any value it is everything.

    `seconds_back` makes a window that ends when the run starts; otherwise `start` and `end` bound it. It starts
    `look_back` earlier, for records that arrive late. A window that moves with the clock also reaches back to
    `late` before `last_read`, when the window was last read, but no further than `catch_up`. `limit` keeps the newest
    records only.
    """

    seconds_back: float | None = None
    start: datetime | None = None
    end: datetime | None = None
    look_back: timedelta = timedelta()
    catch_up: timedelta = timedelta(days=30)
    limit: int | None = None
    last_read: datetime | None = None
    late: timedelta = timedelta()

    @property
    def moves_with_clock(self) -> bool:
        """Whether each run has a window of its own."""
        return self.seconds_back is not None

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self.seconds_back is None and self.start is None and self.end is None and self.limit is None

    def with_last_read(self, moment: datetime | None) -> WindowRule:
        """The same rule, knowing when the window was last read."""
        return replace(self, last_read=moment)

    def window_at(self, now: datetime) -> Window:
        """The window of a run that starts at `now`."""
        now = as_utc(now)
        end = now if self.moves_with_clock else self.end
        try:
            start = self._start_at(now)
            return Window(None if start is None else start - self.look_back, end)
        except OverflowError:  # further back than the year 1: no lower bound
            return Window(None, end)

    def _start_at(self, now: datetime) -> datetime | None:
        if self.seconds_back is None:
            return self.start
        start = now - timedelta(seconds=self.seconds_back)
        return start if self.last_read is None else min(start, max(self.last_read - self.late, now - self.catch_up))


EVERYTHING = WindowRule()
"""The rule that leaves nothing out."""
