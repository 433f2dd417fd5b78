"""The window keys that every source takes, and the sources that leave applying them to us."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.core.clock import as_utc
from shared.core.extraction import BrokenRecord, Fetched, SourceNotice
from shared.core.ports import DataSource
from shared.core.records import DatasetItem
from shared.core.window import Window, WindowRule, WindowSupport

_SECONDS = {"minutes_back": 60.0, "hours_back": 3600.0, "days_back": 86400.0}
"""Seconds in the unit of each relative window."""

_CHOICES = "minutes_back, hours_back, days_back, from_timestamp/to_timestamp, or `window: all` to read everything"


def _parse_iso_time(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"expected an ISO 8601 time such as 2026-03-01T00:00:00Z, found {value!r}") from error
    return as_utc(value) if isinstance(value, datetime) else value


Moment = Annotated[datetime, BeforeValidator(_parse_iso_time)]
TimeBack = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class WindowParams(BaseModel):
    """The window of a source. Times without a zone are UTC; `from_timestamp` is inclusive, `to_timestamp` exclusive; a
    relative window ends (exclusively) at the start of the run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    minutes_back: TimeBack | None = Field(default=None, description="Window: the last so many minutes (> 0).")
    hours_back: TimeBack | None = Field(default=None, description="Window: the last so many hours (> 0).")
    days_back: TimeBack | None = Field(default=None, description="Window: the last so many days (> 0).")
    from_timestamp: Moment | None = Field(default=None, description="Window: from this time on (ISO 8601, inclusive).")
    to_timestamp: Moment | None = Field(default=None, description="Window: before this time (ISO 8601, exclusive).")
    window: Literal["all"] | None = Field(default=None, description="all: read everything, whatever its time.")
    look_back_minutes: float | None = Field(
        default=None,
        ge=0,
        le=525_600,
        allow_inf_nan=False,
        description="The window starts so much earlier, for records that arrive late (default: langfuse 60, others 0;"
        " file: 60 before the last run).",
    )
    catch_up_days: float = Field(
        default=30.0,
        ge=0,
        le=3650,
        allow_inf_nan=False,
        description="A relative window starts no later than the last run, at most so far back.",
    )
    limit: int | None = Field(default=None, ge=1, description="At most so many records: the newest of the window.")

    @model_validator(mode="after")
    def _at_most_one_window(self) -> WindowParams:
        found = self._chosen_keys()
        if len(found) > 1:
            raise ValueError(f"{len(found)} windows: found {' and '.join(found)}; set only one of {_CHOICES}")
        if self.from_timestamp and self.to_timestamp and self.from_timestamp >= self.to_timestamp:
            pair = f"found {self.from_timestamp.isoformat()} and {self.to_timestamp.isoformat()}"
            raise ValueError(f"an empty window: {pair}; from_timestamp must be before to_timestamp")
        return self

    def _chosen_keys(self) -> list[str]:
        found = [name for name in (*_SECONDS, "window") if getattr(self, name) is not None]
        absolute = [name for name in ("from_timestamp", "to_timestamp") if getattr(self, name) is not None]
        return found + (["/".join(absolute)] if absolute else [])

    def to_rule(self, support: WindowSupport) -> WindowRule:
        """The rule for a source with that support."""
        back = [getattr(self, name) * unit for name, unit in _SECONDS.items() if getattr(self, name) is not None]
        given = self.look_back_minutes
        look_back, late = (support.look_back_minutes, support.late_minutes) if given is None else (given, 0.0)
        return WindowRule(
            seconds_back=back[0] if back else None,
            start=self.from_timestamp,
            end=self.to_timestamp,
            look_back=timedelta(minutes=look_back),
            catch_up=timedelta(days=self.catch_up_days),
            limit=self.limit,
            late=timedelta(minutes=late),
        )


class RequiredWindowParams(WindowParams):
    """The window of a source that must be given one: reading whatever is there has to be asked for."""

    @model_validator(mode="after")
    def _exactly_one_window(self) -> RequiredWindowParams:
        if not self._chosen_keys():
            raise ValueError(f"no window: set one of {_CHOICES}")
        return self


WINDOW_KEYS = tuple(WindowParams.model_fields)


def window_support_of(target: object) -> WindowSupport | None:
    """What a source class says of windows: the default where it says nothing, None where it cannot be windowed."""
    found: WindowSupport | None = getattr(target, "window_support", WindowSupport())
    return found


def window_params_model(support: WindowSupport) -> type[WindowParams]:
    """The model that checks the window keys of a source with that support."""
    return RequiredWindowParams if support.required else WindowParams


def applies_window(target: object) -> bool:
    """Whether a source class reads its window itself, or has none."""
    return hasattr(target, "window_support")


class SourceInWindow:
    """A source that need know nothing of windows: of its items those in the window are passed on, by their
    `source_timestamp`, and the newest of them where there is a limit. The source may still read less: its context has
    the same rule.
    """

    def __init__(self, make: Callable[[WindowRule], DataSource], rule: WindowRule) -> None:
        self.inner = make(rule)
        self.key = self.inner.key
        self._make, self._rule = make, rule

    def caught_up(self, last: datetime) -> SourceInWindow:
        """The same source, with a window that also holds what came since `last`."""
        return SourceInWindow(self._make, self._rule.with_last_read(last))

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield what the source yields, without the items outside the window."""
        window = self._rule.window_at(now)
        if self._rule.limit is None:
            yield from self._fetch_window(window, now)
            return
        yield from _keep_newest(self._fetch_window(window, now), self._rule.limit)

    def _fetch_window(self, window: Window, now: datetime) -> Iterator[Fetched]:
        for found in self.inner.fetch(now):
            if not isinstance(found, DatasetItem) or not window.is_bounded:
                yield found
            elif found.source_timestamp is None:
                yield BrokenRecord(
                    f"item {found.id}",
                    "no source_timestamp: a time window needs it; set it in the extractor, or use `window: all`",
                )
            elif window.contains(as_utc(found.source_timestamp)):
                yield found


def _keep_newest(found: Iterator[Fetched], limit: int) -> Iterator[Fetched]:
    """All but the older items, in their order; memory grows with `limit` only. Items without a time are the oldest."""
    kept: list[tuple[float, int, DatasetItem]] = []
    total = 0
    for each in found:
        if not isinstance(each, DatasetItem):
            yield each
            continue
        moment = each.source_timestamp
        rank = float("-inf") if moment is None else as_utc(moment).timestamp()
        total += 1
        entry = (rank, -total, each)
        if len(kept) < limit:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    if total > limit:
        text = f"limit {limit} was hit: {total - limit} of {total} items of the window are skipped (kept: the newest)"
        yield SourceNotice(f"{text}; raise `limit` or narrow the window to see them", cut=True)
    yield from (item for _, _, item in sorted(kept, key=lambda entry: -entry[1]))


def split_window_keys(given: Mapping[str, object], own: Collection[str]) -> tuple[dict[str, object], dict[str, object]]:
    """A block's window keys, and the others; a key among the source's `own` parameters is not of the window."""
    window = {key: value for key, value in given.items() if key in WINDOW_KEYS and key not in own}
    return window, {key: value for key, value in given.items() if key not in window}
