"""What is watched, what was found, and what is stored of it: records that are JSON in the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol

Direction = Literal["rises", "falls"]
AlertDirection = Literal["rises", "falls", "no data"]
Sides = Literal["rises", "falls", "moves"]
AlertState = Literal["open", "acknowledged", "resolved"]
SeriesState = Literal["not enough data", "no data", "quiet", "look", "alert"]

NO_DATA: Literal["no data"] = "no data"
"""The `direction` of an alert that a series has fallen silent."""

ALL_SERIES = "all metrics"
"""The `metric` of an alert that every series has fallen silent."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A metric that is watched: in which direction, from which effect on (a share of what is expected), against a
    baseline of how many days. While it is alerted, alerts of the metrics that it `inhibits` are not told.
    """

    metric: str
    sides: Sides = "moves"
    effect: float = 0.1
    baseline_days: float = 7.0
    severity: str = "warning"
    inhibits: tuple[str, ...] = ()

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that are watched."""
        return ("rises", "falls") if self.sides == "moves" else (self.sides,)


class MaintenanceWindow(Protocol):
    """Times of which nothing is watched, and in which nobody is told of alerts."""

    @property
    def reason(self) -> str:
        """Why, as its owner says."""

    def stretches(self, first: datetime, last: datetime) -> Sequence[tuple[datetime, datetime]]:
        """The times that overlap those from `first` to `last`, each with its start and its end."""


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """What is watched of one monitor. `budget` false alarms in `budget_days` are allowed in all; an hour is taken once
    `settle_minutes` have gone by since its end. A series is silent after `silent_gaps` times the longest gap that is
    usual; 0: never.
    """

    rules: tuple[AlertRule, ...]
    budget: float = 0.1
    budget_days: float = 30.0
    settle_minutes: float = 60.0
    silent_gaps: float = 3.0
    maintenance: tuple[MaintenanceWindow, ...] = ()
    renotify: timedelta | None = None


class Presence(NamedTuple):
    """The hours in which a series had data: stretches, their first and last hours counted from 1970. `live`: it had
    data until lately when a run looked, so that it can fall silent; `silent_since`: it has, at that time.
    """

    stretches: tuple[tuple[int, int], ...] = ()
    live: bool = False
    silent_since: str = ""


class Mute(NamedTuple):
    """Who silenced a metric, why, and until when."""

    owner: str
    reason: str
    until: str


class Hidden(NamedTuple):
    """Why an alert is not told: muted `by` an owner until a time, inhibited `by` another metric's alert, or because of
    maintenance until a time.
    """

    kind: Literal["muted", "inhibited", "maintenance"]
    by: str = ""
    until: str = ""
    reason: str = ""


class Told(NamedTuple):
    """What people were told of an alert, and when (never, if empty), and whether it was hidden at the last look."""

    evidence: float
    at: str
    over: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """One time that a metric moved or fell silent. Times are ISO 8601 in UTC; `since` is when the evidence began,
    `expected` and `found` are the means of then and the last hours, `evidence` is how many looks go by before chance
    does the same.
    """

    id: str
    metric: str
    direction: AlertDirection
    severity: str
    opened_at: str
    since: str
    evidence: float = 0.0
    expected: float = 0.0
    found: float = 0.0
    rate: bool = False
    state: AlertState = "open"
    closed_at: str = ""
    owner: str = ""
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state == "resolved"


class SeriesStatus(NamedTuple):
    """How one rule stands: its evidence in parts of the threshold, or why there is none."""

    metric: str
    state: SeriesState
    detail: str
    share: float = 0.0
    spread: float = 1.0
    correlation: float = 0.0


@dataclass(frozen=True, slots=True)
class AlertBook:
    """All that is stored: detectors by series, alerts (the newest last), mutes by metric, by series when it had data,
    and by alert what people were told.
    """

    series: Mapping[str, Mapping[str, Any]]
    alerts: tuple[Alert, ...] = ()
    mutes: Mapping[str, Mute] | None = None
    presence: Mapping[str, Presence] | None = None
    told: Mapping[str, Told] | None = None

    def find(self, alert_id: str) -> Alert | None:
        """The alert of that id, or the only one whose id begins so."""
        found = [each for each in self.alerts if each.id.startswith(alert_id)] if alert_id else []
        return found[0] if len(found) == 1 else next((each for each in found if each.id == alert_id), None)

    def silent_since(self, series: str) -> str:
        """Since when a series has no data; empty while it has."""
        found = (self.presence or {}).get(series)
        return "" if found is None else found.silent_since

    def replace_alert(self, alert: Alert) -> AlertBook:
        """The book with this alert in the place of the one of its id, or behind all others."""
        known = any(each.id == alert.id for each in self.alerts)
        kept = tuple(alert if each.id == alert.id else each for each in self.alerts)
        return replace(self, alerts=kept if known else (*kept, alert))

    def muted(self, metric: str, now: datetime) -> Mute | None:
        """The mute that hides a metric now."""
        mute = (self.mutes or {}).get(metric)
        return mute if mute is not None and datetime.fromisoformat(mute.until) > now else None
