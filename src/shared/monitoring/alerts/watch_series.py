"""Takes the hours that have come since the last look, and opens and closes alerts by what they show.

Every hour of every series is taken once, in the order of time. The series page together (`choose_alarms`), so that the
budget of false alarms is that of the whole monitor. An alert is closed by its estimate, never by silent evidence: the
pool of a detector absorbs a lasting change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.core.state.alert_records import NO_DATA, Alert, AlertBook, AlertPlan, SeriesState, SeriesStatus
from shared.core.state.score_aggregates import AggregateKey, ScoreAggregate
from shared.monitoring.alerts.alert_lifecycle import Event, close_alerts, find_event, open_alerts, watch_silence
from shared.monitoring.alerts.series_looks import WatchedSeries, open_series, to_series_state
from shared.scoring.sequential.rank_detector import RankDetector, threshold
from shared.scoring.sequential.seasonal_baseline import LEAST_LOOKS
from shared.scoring.statistics.changes import SeriesContext

_HOUR = timedelta(hours=1)
_LOOK = 0.2  # of the threshold: worth a look, and no page
_KEPT = 100  # alerts that are kept once they are over


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
    complete: bool = True,
) -> Watch:
    """Take all hours that are settled and new. Aggregates are by hour. `complete`: a run has read and scored all that
    there was until now.
    """
    limit = threshold(plan.budget_days * 24, plan.budget)
    settled = now - timedelta(minutes=plan.settle_minutes) - _HOUR
    series = [open_series(rule, contexts[rule.metric], found, book, settled) for rule in plan.rules]
    before = {each.id: each for each in book.alerts}
    for hour in sorted({start for each in series for start in each.looks}):
        for each in series:
            each.take(hour)
        book = open_alerts(book, series, limit, hour)
        book = close_alerts(book, series, hour)
    book = watch_silence(book, series, plan, settled.replace(minute=0, second=0, microsecond=0), complete)
    stored = {each.name: to_series_state(each) for each in series}
    ended = [each for each in book.alerts if each.is_over]
    dropped = {each.id for each in ended[: max(0, len(ended) - _KEPT)]}
    book = replace(book, series=stored, alerts=tuple(each for each in book.alerts if each.id not in dropped))
    events = [(find_event(before.get(each.id), each), each) for each in book.alerts]
    happened = tuple((event, each) for event, each in events if event is not None)
    return Watch(book, tuple(_describe(each, book, limit) for each in series), happened)


def describe_stored(plan: AlertPlan, book: AlertBook) -> tuple[SeriesStatus, ...]:
    """How each rule stood when the book was stored."""
    limit = threshold(plan.budget_days * 24, plan.budget)
    found = []
    for rule in plan.rules:
        state = book.series.get(rule.metric) or {}
        detector = RankDetector.from_state(rule.metric, state["detector"]) if "detector" in state else None
        series = WatchedSeries(rule, "", False, {}, bool(state.get("unequal")), detector)
        found.append(_describe(series, book, limit))
    return tuple(found)


def _describe(series: WatchedSeries, book: AlertBook, limit: float) -> SeriesStatus:
    detector, since = series.detector, book.silent_since(series.name)
    silent = f"no data since {since[:10]} {since[11:16]} UTC" if since else ""
    if detector is None and silent:
        return SeriesStatus(series.name, "no data", silent)
    if detector is None:
        days = series.rule.baseline_days
        why = f"a baseline takes {days:g} days with at least {LEAST_LOOKS} hours with scores that vary"
        return SeriesStatus(series.name, "not enough data", why)
    share = max(entry.evidence for entry in series.entries()) / limit
    baseline = detector.baseline
    running = [each for each in book.alerts if each.metric == series.name and each.direction != NO_DATA]
    state: SeriesState = "look" if share >= _LOOK else "quiet"
    state = "alert" if any(not each.is_over for each in running) else "no data" if silent else state
    detail = "the budget is not certified: the items had unequal inclusion probabilities" if series.unequal else ""
    if baseline.spread > 1.5:
        detail = "the budget is not certified: the hours of the baseline depend on one another"
    detail = "; ".join(filter(None, (silent, detail)))
    return SeriesStatus(series.name, state, detail, share, baseline.spread, baseline.correlation)
