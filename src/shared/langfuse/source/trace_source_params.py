"""What a user may say of the source `langfuse`, and the window that is made of it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from shared.core.clock import as_utc
from shared.langfuse.api.read_queries import ObservationLevel
from shared.langfuse.http.connection import Connection, Count

FieldGroup = Literal["basic", "time", "io", "metadata", "model", "usage", "prompt", "metrics", "trace_context"]


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
Days = Annotated[float, Field(ge=0, le=3650, allow_inf_nan=False)]
Minutes = Annotated[float, Field(ge=0, le=525_600, allow_inf_nan=False)]
Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]

_BACK = {"minutes_back": 60.0, "hours_back": 3600.0, "days_back": 86400.0}
"""Seconds of each relative window's unit."""

_CHOICE = "minutes_back, hours_back, days_back, from_timestamp/to_timestamp, or `window: all` to read everything"


class LangfuseSourceParams(Connection):
    """Parameters of the source `langfuse`. Times without a zone are UTC; `from_timestamp` is inclusive, `to_timestamp`
    exclusive; a relative window ends (exclusively) at the start of the run.
    """

    minutes_back: Back | None = Field(default=None, description="Window: the last so many minutes (> 0).")
    hours_back: Back | None = Field(default=None, description="Window: the last so many hours (> 0).")
    days_back: Back | None = Field(default=None, description="Window: the last so many days (> 0).")
    from_timestamp: Moment | None = Field(default=None, description="Window: from this time on (ISO 8601, inclusive).")
    to_timestamp: Moment | None = Field(default=None, description="Window: before this time (ISO 8601, exclusive).")
    window: Literal["all"] | None = Field(default=None, description="all: read everything, whatever its time.")
    items: Literal["traces", "sessions"] = Field(default="traces", description="What is one item.")
    tags: Names | None = Field(default=None, description="Only traces with all of these tags.")
    trace_name: str | None = Field(default=None, min_length=1, description="Only traces of this name.")
    environment: str | Names | None = Field(default=None, description="Only this environment, or these.")
    trace_ids: Names | None = Field(default=None, description="Only these traces.")
    level: ObservationLevel | None = Field(default=None, description="Only traces with an observation of this level.")
    quiet_minutes: Minutes = Field(default=10.0, description="A trace is taken when nothing came for so long.")
    look_back_minutes: Minutes = Field(
        default=60.0, description="The window begins so much earlier, for rows that come late."
    )
    catch_up_days: Days = Field(
        default=30.0, description="A window that goes by the clock begins no later than the last run, so far back."
    )
    limit: Count | None = Field(default=None, description="At most so many items: the newest of the window.")
    fields: list[FieldGroup] = Field(
        default=["io", "metadata", "model", "usage", "prompt", "metrics"],
        description="Field groups to read; basic and trace_context always come.",
    )
    expand_metadata: list[str] = Field(
        default=[], description="Metadata keys longer than 200 characters; others are found out."
    )

    @field_validator("expand_metadata")
    @classmethod
    def _keys_are_sendable(cls, value: list[str]) -> list[str]:
        if any(not each or "," in each for each in value):
            raise ValueError(f"expected metadata keys without commas, found {value!r}")
        return value

    @model_validator(mode="after")
    def _one_window(self) -> LangfuseSourceParams:
        found = [name for name in (*_BACK, "window") if getattr(self, name) is not None]
        absolute = [name for name in ("from_timestamp", "to_timestamp") if getattr(self, name) is not None]
        found += ["/".join(absolute)] if absolute else []
        if not found:
            raise ValueError(f"no window: say one of {_CHOICE}")
        if len(found) > 1:
            raise ValueError(f"{len(found)} windows: found {' and '.join(found)}; say only one of {_CHOICE}")
        if self.from_timestamp and self.to_timestamp and self.from_timestamp >= self.to_timestamp:
            given = f"found {self.from_timestamp.isoformat()} and {self.to_timestamp.isoformat()}"
            raise ValueError(f"an empty window: {given}; from_timestamp must be before to_timestamp")
        if self.items == "sessions" and (self.trace_ids or self.trace_name):
            raise ValueError("items: sessions goes by sessions; trace_ids and trace_name are for items: traces")
        if self.trace_ids and (self.tags or self.level or self.environment):
            raise ValueError("trace_ids name the traces; tags, level and environment go without them")
        return self

    @property
    def by_clock(self) -> bool:
        """Whether the window moves with the time of the run."""
        return any(getattr(self, name) is not None for name in _BACK)

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments, as a tuple."""
        return (self.environment,) if isinstance(self.environment, str) else tuple(self.environment or ())

    @property
    def groups(self) -> tuple[str, ...]:
        """The field groups that a whole trace is read with."""
        return tuple(dict.fromkeys(("basic", "trace_context", *self.fields)))

    def span(self, now: datetime, last: datetime | None = None) -> tuple[datetime | None, datetime]:
        """The window as seen at `now`, in UTC, with the look-back: [low, high); None is open.

        One that goes by the clock begins no later than `last`, but at most `catch_up_days` ago for that.
        """
        end = min(self.to_timestamp, as_utc(now)) if self.to_timestamp else as_utc(now)
        low = self.from_timestamp
        try:
            for name, seconds in _BACK.items():
                if getattr(self, name) is not None:
                    low = as_utc(now) - timedelta(seconds=getattr(self, name) * seconds)
                    if last is not None:
                        low = min(low, max(last, as_utc(now) - timedelta(days=self.catch_up_days)))
            return (None if low is None else low - timedelta(minutes=self.look_back_minutes)), end
        except OverflowError:  # further back than the year 1: no lower bound
            return None, end
