"""The series that a monitor watches: their looks by hour, from the stored aggregates, and their detectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from shared.core.state.alert_records import AlertBook, AlertRule, Direction
from shared.core.state.score_aggregates import NOTHING, AggregateKey, ScoreAggregate, WeightedSums
from shared.scoring.sequential.rank_detector import RankDetector
from shared.scoring.sequential.seasonal_baseline import Look, fit_baseline
from shared.scoring.statistics.changes import SeriesContext

RECENT = 12
"""The newest looks of a series that are kept: an alert is closed by them."""

_UNEQUAL = 1.2  # Kish's design effect from which weights are unequal


class WatchedDirection(NamedTuple):
    """One series in one direction: what pages."""

    series: WatchedSeries
    direction: Direction

    @property
    def evidence(self) -> float:
        """The evidence of this direction."""
        detector = self.series.detector
        return 0.0 if detector is None else detector.evidence[self.direction].value


@dataclass(slots=True)
class WatchedSeries:
    """One rule with its looks, its detector, and the newest looks that it has taken. Its baseline begins `after` an
    hour, where it is not its first; `data` are hours that had some, whether taken or not."""

    rule: AlertRule
    version: str
    rate: bool
    looks: Mapping[datetime, Look]
    unequal: bool = False
    detector: RankDetector | None = None
    recent: list[Look] = field(default_factory=list)
    after: str = ""
    data: tuple[datetime, ...] = ()

    @property
    def name(self) -> str:
        """What alerts call it."""
        return self.rule.metric

    @property
    def found(self) -> float:
        """The mean of the newest looks."""
        total = sum(each.n for each in self.recent)
        return sum(each.n * each.mean for each in self.recent) / total if total else 0.0

    @property
    def expected(self) -> float:
        """The mean that the newest looks were expected to have."""
        total = sum(each.n for each in self.recent)
        if self.detector is None or not total:
            return 0.0
        return sum(each.n * self.detector.baseline.expect(each.start) for each in self.recent) / total

    def take(self, hour: datetime) -> None:
        """Take the look of an hour, if there is one."""
        look = self.looks.get(hour)
        if self.detector is not None and look is not None:
            self.detector.update(look)
            self.recent = [*self.recent, look][-RECENT:]

    def entries(self) -> list[WatchedDirection]:
        """The directions that are watched, once there is a detector."""
        return [] if self.detector is None else [WatchedDirection(self, each) for each in self.rule.directions]


def open_series(
    rule: AlertRule,
    context: SeriesContext,
    found: Mapping[AggregateKey, ScoreAggregate],
    book: AlertBook,
    settled: datetime,
) -> WatchedSeries:
    """The rule's looks that are new and settled, with its detector: that of before, or one with a new baseline."""
    rate = context.threshold is not None
    hours: dict[datetime, WeightedSums] = {}
    for key, each in found.items():
        if key.label == rule.metric and key.metric_digest == context.digest and key.start <= settled:
            hours[key.start] = hours.get(key.start, NOTHING).merge(each.verdicts if rate else each.values)
    kept = {start: sums for start, sums in sorted(hours.items()) if sums.n}
    unequal = any(sums.ww * sums.n > _UNEQUAL * sums.w**2 for sums in kept.values() if sums.n > 1)
    looks = {start: _to_look(start, sums) for start, sums in kept.items()}
    state = book.series.get(rule.metric, {})
    made = WatchedSeries(rule, f"{context.digest} {context.threshold}", rate, looks, unequal, data=tuple(kept))
    if state.get("version") == made.version:
        made.detector = RankDetector.from_state(rule.metric, state["detector"])
        made.recent = [Look(datetime.fromisoformat(start), *rest) for start, *rest in state["recent"]]
        made.looks = _after(made.detector.last, looks)
        return made
    made.after = last_taken(state)  # what was usual for another version, or before somebody resolved an alert, is over
    made.looks = _after(made.after, looks)
    if not made.looks:
        return made
    until = min(made.looks) + timedelta(days=rule.baseline_days)
    first = [look for start, look in made.looks.items() if start < until]
    fitted = fit_baseline(first, rate) if settled >= until else None
    if fitted is not None:
        made.detector = RankDetector(rule.metric, *fitted)
        made.detector.last = first[-1].start.isoformat()
        made.looks = {start: look for start, look in made.looks.items() if start >= until}
    return made


def last_taken(state: Mapping[str, Any]) -> str:
    """The last hour that a stored series has taken, or that its baseline begins after; empty where there is none."""
    found: str = state["detector"]["last"] if "detector" in state else state.get("after", "")
    return found


def _after(moment: str, looks: Mapping[datetime, Look]) -> Mapping[datetime, Look]:
    """The looks that start later than a moment, all of them without one."""
    return {start: look for start, look in looks.items() if not moment or start > datetime.fromisoformat(moment)}


def _to_look(start: datetime, sums: WeightedSums) -> Look:
    size = min(float(sums.n), sums.w**2 / sums.ww)
    _, squares = sums.squares(sums.mean)
    return Look(start, size, sums.mean, squares / sums.w * size)


def to_series_state(series: WatchedSeries) -> dict[str, Any]:
    """What is stored of a series."""
    if series.detector is None:
        return {"after": series.after}
    recent = [[each.start.isoformat(), each.n, each.mean, each.squares] for each in series.recent]
    detector, unequal = series.detector.to_state(), series.unequal
    return {"version": series.version, "detector": detector, "recent": recent, "unequal": unequal}
