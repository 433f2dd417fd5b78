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

from shared.core.state.alert_records import NO_DATA, AlertBook, AlertPlan, Hidden, SeriesState, SeriesStatus
from shared.core.state.score_aggregates import AggregateKey, ScoreAggregate
from shared.monitoring.alerts.alert_lifecycle import close_alerts, open_alerts, watch_silence
from shared.monitoring.alerts.hidden_alerts import find_hidden, find_maintenance_hours
from shared.monitoring.alerts.series_looks import WatchedSeries, open_series, to_series_state
from shared.monitoring.alerts.silence import KEPT
from shared.scoring.sequential.rank_detector import RankDetector, threshold
from shared.scoring.sequential.seasonal_baseline import LEAST_LOOKS
from shared.scoring.statistics.changes import SeriesContext

_HOUR = timedelta(hours=1)
_LOOK = 0.2  # of the threshold: worth a look, and no page
_KEPT = 100  # alerts that are kept once they are over


class Watch(NamedTuple):
    """The book as it is now, how each rule stands, and which alerts people are not told of, by their ids."""

    book: AlertBook
    statuses: tuple[SeriesStatus, ...]
    hidden: Mapping[str, Hidden]


def watch(
    plan: AlertPlan,
    book: AlertBook,
    found: Mapping[AggregateKey, ScoreAggregate],
    contexts: Mapping[str, SeriesContext],
    now: datetime,
    complete: bool = True,
) -> Watch:
    """Take all hours that are settled and new. Aggregates are by hour. `complete`: a run has read and scored all that
    there was until now. Hours of maintenance are not taken.
    """
    first = min((key.start for key in found), default=now)
    kept_out = find_maintenance_hours(plan.maintenance, min(first, now - KEPT), now)
    found = {key: each for key, each in found.items() if key.start not in kept_out}
    limit = threshold(plan.budget_days * 24, plan.budget)
    settled = now - timedelta(minutes=plan.settle_minutes) - _HOUR
    series = [open_series(rule, contexts[rule.metric], found, book, settled) for rule in plan.rules]
    for hour in sorted({start for each in series for start in each.looks}):
        for each in series:
            each.take(hour)
        book = open_alerts(book, series, limit, hour)
        book = close_alerts(book, series, hour)
    until = settled.replace(minute=0, second=0, microsecond=0)
    gaps = plan.silent_gaps if complete and plan.silent_gaps else None
    book = watch_silence(book, series, until, gaps, kept_out)
    stored = {each.name: to_series_state(each) for each in series}
    ended = [each for each in book.alerts if each.is_over]
    dropped = {each.id for each in ended[: max(0, len(ended) - _KEPT)]}
    book = replace(book, series=stored, alerts=tuple(each for each in book.alerts if each.id not in dropped))
    return Watch(book, tuple(_describe(each, book, limit) for each in series), find_hidden(plan, book, now))


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
