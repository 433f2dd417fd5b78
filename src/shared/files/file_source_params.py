"""What a user may say of a file source, and how the window is made of it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.core.clock import as_utc
from shared.files.window import Span

Format = Literal["jsonl", "json", "csv", "parquet"]


def _iso_time(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"expected an ISO 8601 time such as 2026-03-01T00:00:00Z, found {value!r}") from error
    return as_utc(value) if isinstance(value, datetime) else value


Moment = Annotated[datetime, BeforeValidator(_iso_time)]
Back = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_BACK = {"minutes_back": 60.0, "hours_back": 3600.0, "days_back": 86400.0}
"""Seconds of each relative window's unit."""

_CHOICE = "minutes_back, hours_back, days_back, from_timestamp/to_timestamp, or `window: all` to read everything"


class FileSourceParams(BaseModel):
    """Parameters of the source `file`. Times without a zone are UTC; `from_timestamp` is inclusive, `to_timestamp`
    exclusive; a relative window ends (exclusively) at the start of the run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str | list[str] = Field(description="File, or glob such as traces/**/*.jsonl.gz; or a list of them.")
    format: Literal["auto"] | Format = Field(default="auto", description="auto: by the name's ending.")
    minutes_back: Back | None = Field(default=None, description="Window: the last so many minutes (> 0).")
    hours_back: Back | None = Field(default=None, description="Window: the last so many hours (> 0).")
    days_back: Back | None = Field(default=None, description="Window: the last so many days (> 0).")
    from_timestamp: Moment | None = Field(default=None, description="Window: from this time on (ISO 8601, inclusive).")
    to_timestamp: Moment | None = Field(default=None, description="Window: before this time (ISO 8601, exclusive).")
    window: Literal["all"] | None = Field(default=None, description="all: read everything, whatever its time.")
    timestamp_field: str = Field(
        default="timestamp", min_length=1, description="Where a record keeps its time; a.b is nested."
    )
    catch_up_days: float = Field(
        default=30.0, ge=0, le=3650, description="A window that goes by the clock begins no later than the last run."
    )
    limit: int | None = Field(default=None, ge=1, description="At most so many records: the newest of the window.")

    @field_validator("path")
    @classmethod
    def _paths_are_usable(cls, value: str | list[str]) -> str | list[str]:
        patterns = [value] if isinstance(value, str) else value
        if not patterns or any(not each.strip() or "\0" in each for each in patterns):
            raise ValueError(f"expected a path or a list of paths, found {value!r}")
        return value

    @model_validator(mode="after")
    def _one_window(self) -> FileSourceParams:
        found = self._windows()
        if not found:
            raise ValueError(f"no window: say one of {_CHOICE}")
        if len(found) > 1:
            raise ValueError(f"{len(found)} windows: found {' and '.join(found)}; say only one of {_CHOICE}")
        if self.from_timestamp and self.to_timestamp and self.from_timestamp >= self.to_timestamp:
            given = f"found {self.from_timestamp.isoformat()} and {self.to_timestamp.isoformat()}"
            raise ValueError(f"an empty window: {given}; from_timestamp must be before to_timestamp")
        return self

    def _windows(self) -> list[str]:
        found = [name for name in (*_BACK, "window") if getattr(self, name) is not None]
        absolute = [name for name in ("from_timestamp", "to_timestamp") if getattr(self, name) is not None]
        return found + (["/".join(absolute)] if absolute else [])

    @property
    def patterns(self) -> list[str]:
        """The paths and globs, as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)

    def span(self, now: datetime, last: datetime | None = None) -> Span:
        """The window as seen at `now`, in UTC. One that goes by the clock begins no later than `last`, but at most
        `catch_up_days` ago for that.
        """
        for name, seconds in _BACK.items():
            amount = getattr(self, name)
            if amount is not None:
                low = _before(as_utc(now), amount * seconds)
                if low is not None and last is not None:
                    low = min(low, max(last, as_utc(now) - timedelta(days=self.catch_up_days)))
                return Span(self.timestamp_field, low, as_utc(now))
        return Span(self.timestamp_field, self.from_timestamp, self.to_timestamp)


def _before(now: datetime, seconds: float) -> datetime | None:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:  # further back than the year 1: no lower bound
        return None
