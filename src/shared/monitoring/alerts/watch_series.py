"""Takes the hours that have come since the last look, and opens and closes alerts by what they show.

Every hour of every series is taken once, in the order of time. The series page together (`choose_alarms`), so that the
budget of false alarms is that of the whole monitor. An alert is closed by its estimate, never by silent evidence: the
pool of a detector absorbs a lasting change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from shared.core.digests import digest
from shared.core.state.alert_records import (
    Alert,
    AlertBook,
    AlertPlan,
    AlertRule,
    Direction,
    SeriesState,
    SeriesStatus,
)
from shared.core.state.score_aggregates import NOTHING, AggregateKey, ScoreAggregate, WeightedSums
from shared.scoring.sequential.rank_detector import RankDetector, choose_alarms, threshold
from shared.scoring.sequential.seasonal_baseline import LEAST_LOOKS, Look, fit_baseline
from shared.scoring.statistics.changes import SeriesContext

_HOUR = timedelta(hours=1)
_RECENT = 12  # looks by which an alert is closed
_LEAST = 6  # looks after which it may be
_LOOK = 0.2  # of the threshold: worth a look, and no page
_KEPT = 100  # alerts that are kept once they are over
_UNEQUAL = 1.2  # Kish's design effect from which weights are unequal


class _Entry(NamedTuple):
    """One series in one direction: what pages."""

    series: _Series
    direction: Direction


@dataclass(slots=True)
class _Series:
    """One rule with its looks, its detector, and the newest looks that it has taken. Its baseline begins `after` an
    hour, where it is not its first."""

    rule: AlertRule
    version: str
    rate: bool
    looks: Mapping[datetime, Look]
    unequal: bool = False
    detector: RankDetector | None = None
    recent: list[Look] = field(default_factory=list)
    after: str = ""

    @property
    def name(self) -> str:
        return self.rule.metric

    def entries(self) -> list[_Entry]:
        return [] if self.detector is None else [_Entry(self, each) for each in self.rule.directions]


Event = Literal["opened", "worsened", "resolved"]


class Watch(NamedTuple):
    """The book as it is now, how each rule stands, and what happened to alerts in this look."""

    book: AlertBook
    statuses: tuple[SeriesStatus, ...]
    events: tuple[tuple[Event, Alert], ...]


def watch(
    plan: AlertPlan,
    book: AlertBook,
    found: Mapping[AggregateKey, ScoreAggregate],
    contexts: Mapping[str, SeriesContext],
    now: datetime,
) -> Watch:
    """Take all hours that are settled and new. Aggregates are by hour."""
    limit = threshold(plan.budget_days * 24, plan.budget)
    settled = now - timedelta(minutes=plan.settle_minutes) - _HOUR
    series = [_open_series(rule, contexts[rule.metric], found, book, settled) for rule in plan.rules]
    before = {each.id: each for each in book.alerts}
    for hour in sorted({start for each in series for start in each.looks}):
        for each in series:
            _take_hour(each, hour)
        book = _open_alerts(book, series, limit, hour)
        book = _close_alerts(book, series, hour)
    stored = {each.name: _to_state(each) for each in series}
    ended = [each for each in book.alerts if each.is_over]
    dropped = {each.id for each in ended[: max(0, len(ended) - _KEPT)]}
    book = replace(book, series=stored, alerts=tuple(each for each in book.alerts if each.id not in dropped))
    events = [(_find_event(before.get(each.id), each), each) for each in book.alerts]
    happened = tuple((event, each) for event, each in events if event is not None)
    return Watch(book, tuple(_describe(each, book, limit) for each in series), happened)


def describe_stored(plan: AlertPlan, book: AlertBook) -> tuple[SeriesStatus, ...]:
    """How each rule stood when the book was stored."""
    limit = threshold(plan.budget_days * 24, plan.budget)
    found = []
    for rule in plan.rules:
        state = book.series.get(rule.metric) or {}
        detector = RankDetector.from_state(rule.metric, state["detector"]) if "detector" in state else None
        series = _Series(rule, "", False, {}, bool(state.get("unequal")), detector)
        found.append(_describe(series, book, limit))
    return tuple(found)


def _find_event(before: Alert | None, now: Alert) -> Event | None:
    """What happened to an alert; one that opened and ended unseen is one that opened."""
    if before is None:
        return "opened"
    if now.is_over:
        return None if before.is_over else "resolved"
    return "worsened" if now.evidence > before.evidence else None


def _open_series(
    rule: AlertRule,
    context: SeriesContext,
    found: Mapping[AggregateKey, ScoreAggregate],
    book: AlertBook,
    settled: datetime,
) -> _Series:
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
    made = _Series(rule, f"{context.digest} {context.threshold}", rate, looks, unequal)
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


def _take_hour(series: _Series, hour: datetime) -> None:
    look = series.looks.get(hour)
    if series.detector is not None and look is not None:
        series.detector.update(look)
        series.recent = [*series.recent, look][-_RECENT:]


def _open_alerts(book: AlertBook, series: Iterable[_Series], limit: float, hour: datetime) -> AlertBook:
    entries = [entry for each in series for entry in each.entries()]
    values = [_evidence(entry) for entry in entries]
    for place in choose_alarms(values, limit):
        entry = entries[place]
        detector, rule = entry.series.detector, entry.series.rule
        if detector is None or not _is_large(detector.evidence[entry.direction].ratio, entry.direction, rule.effect):
            continue
        since = detector.evidence[entry.direction].since
        running = _find_running(book, entry)
        opened = hour + _HOUR
        made = Alert(
            id=digest([rule.metric, entry.direction, opened.isoformat()])[:8],
            metric=rule.metric,
            direction=entry.direction,
            severity=rule.severity,
            opened_at=opened.isoformat(),
            since=since,
            evidence=values[place],
            expected=_expected(entry.series),
            found=_mean(entry.series.recent),
            rate=entry.series.rate,
        )
        if running is not None:  # it has moved again: the alert goes on
            made = replace(running, evidence=max(running.evidence, values[place]), found=made.found)
        book = book.replace_alert(made)
        detector.reset(entry.direction)
    return book


def _close_alerts(book: AlertBook, series: Iterable[_Series], hour: datetime) -> AlertBook:
    """Close what is back within half of the effect, by the mean of the last hours."""
    for each in series:
        for direction in each.rule.directions:
            running = _find_running(book, _Entry(each, direction))
            if running is None or each.detector is None:
                continue
            since = datetime.fromisoformat(running.opened_at)
            recent = [look for look in each.recent if look.start >= since]
            found, expected = _mean(each.recent), _expected(each)
            running = replace(running, found=found)
            ratio = found / expected if expected else 1.0
            if len(recent) >= _LEAST and not _is_large(ratio, direction, each.rule.effect / 2):
                running = replace(running, state="resolved", closed_at=(hour + _HOUR).isoformat())
            book = book.replace_alert(running)
    return book


def _find_running(book: AlertBook, entry: _Entry) -> Alert | None:
    running = (each for each in book.alerts if not each.is_over)
    return next(
        (each for each in running if (each.metric, each.direction) == (entry.series.name, entry.direction)), None
    )


def _is_large(ratio: float, direction: Direction, effect: float) -> bool:
    return ratio >= 1 + effect if direction == "rises" else ratio <= 1 - effect


def _evidence(entry: _Entry) -> float:
    detector = entry.series.detector
    return 0.0 if detector is None else detector.evidence[entry.direction].value


def _mean(looks: Sequence[Look]) -> float:
    total = sum(each.n for each in looks)
    return sum(each.n * each.mean for each in looks) / total if total else 0.0


def _expected(series: _Series) -> float:
    detector, total = series.detector, sum(each.n for each in series.recent)
    if detector is None or not total:
        return 0.0
    return sum(each.n * detector.baseline.expect(each.start) for each in series.recent) / total


def _to_state(series: _Series) -> dict[str, Any]:
    if series.detector is None:
        return {"after": series.after}
    recent = [[each.start.isoformat(), each.n, each.mean, each.squares] for each in series.recent]
    detector, unequal = series.detector.to_state(), series.unequal
    return {"version": series.version, "detector": detector, "recent": recent, "unequal": unequal}


def _describe(series: _Series, book: AlertBook, limit: float) -> SeriesStatus:
    detector = series.detector
    if detector is None:
        days = series.rule.baseline_days
        why = f"a baseline takes {days:g} days with at least {LEAST_LOOKS} hours with scores that vary"
        return SeriesStatus(series.name, "not enough data", why)
    share = max(_evidence(entry) for entry in series.entries()) / limit
    baseline = detector.baseline
    running = [each for each in book.alerts if each.metric == series.name and not each.is_over]
    state: SeriesState = "alert" if running else "look" if share >= _LOOK else "quiet"
    detail = "the budget is not certified: the items had unequal inclusion probabilities" if series.unequal else ""
    if baseline.spread > 1.5:
        detail = "the budget is not certified: the hours of the baseline depend on one another"
    return SeriesStatus(series.name, state, detail, share, baseline.spread, baseline.correlation)
