"""How alerts open, go on and end: opened by evidence with an effect, closed by the estimate of the newest hours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.core.digests import digest
from shared.core.state.alert_records import ALL_SERIES, NO_DATA, Alert, AlertBook, Direction, Presence
from shared.monitoring.alerts.series_looks import WatchedDirection, WatchedSeries
from shared.monitoring.alerts.silence import SilenceLimits, note_presence
from shared.scoring.sequential.rank_detector import choose_alarms

_HOUR = timedelta(hours=1)
_LEAST = 6  # looks after which an alert may be closed


def open_alerts(book: AlertBook, series: Iterable[WatchedSeries], limit: float, hour: datetime) -> AlertBook:
    """Open what the family of series pages for at this hour, or let its running alert go on."""
    entries = [entry for each in series for entry in each.entries()]
    values = [entry.evidence for entry in entries]
    for place in choose_alarms(values, limit):
        entry = entries[place]
        detector, rule = entry.series.detector, entry.series.rule
        if detector is None or not _is_large(detector.evidence[entry.direction].ratio, entry.direction, rule.effect):
            continue
        since = detector.evidence[entry.direction].since
        running = find_running(book, entry)
        opened = hour + _HOUR
        made = Alert(
            id=digest([rule.metric, entry.direction, opened.isoformat()])[:8],
            metric=rule.metric,
            direction=entry.direction,
            severity=rule.severity,
            opened_at=opened.isoformat(),
            since=since,
            evidence=values[place],
            expected=entry.series.expected,
            found=entry.series.found,
            rate=entry.series.rate,
        )
        if running is not None:  # it has moved again: the alert goes on
            made = replace(running, evidence=max(running.evidence, values[place]), found=made.found)
        book = book.replace_alert(made)
        detector.reset(entry.direction)
    return book


def close_alerts(book: AlertBook, series: Iterable[WatchedSeries], hour: datetime) -> AlertBook:
    """Close what is back within half of the effect, by the mean of the last hours."""
    for each in series:
        for direction in each.rule.directions:
            running = find_running(book, WatchedDirection(each, direction))
            if running is None or each.detector is None:
                continue
            since = datetime.fromisoformat(running.opened_at)
            recent = [look for look in each.recent if look.start >= since]
            found, expected = each.found, each.expected
            running = replace(running, found=found)
            ratio = found / expected if expected else 1.0
            if len(recent) >= _LEAST and not _is_large(ratio, direction, each.rule.effect / 2):
                running = replace(running, state="resolved", closed_at=(hour + _HOUR).isoformat())
            book = book.replace_alert(running)
    return book


def watch_silence(
    book: AlertBook,
    series: Sequence[WatchedSeries],
    until: datetime,
    gaps: float | None,
    kept_out: Collection[datetime] = (),
) -> AlertBook:
    """Open an alert for what has fallen silent up to the hour that starts at `until`, one for all series together, and
    end it when data has come. See `note_presence` for `gaps` and `kept_out`.
    """
    known = book.presence or {}
    found = {
        each.name: note_presence(known.get(each.name, Presence()), each.data, SilenceLimits(until, gaps, kept_out))
        for each in series
    }
    book = replace(book, presence=found)
    silent = {name: each.silent_since for name, each in found.items() if each.silent_since}
    told = {ALL_SERIES: max(silent.values())} if len(silent) == len(series) > 1 else silent
    severities = {each.name: each.rule.severity for each in reversed(series)}
    at = (until + _HOUR).isoformat()
    for running in [each for each in book.alerts if each.direction == NO_DATA and not each.is_over]:
        if running.metric not in {**silent, **told}:
            book = book.replace_alert(replace(running, state="resolved", closed_at=at))
    for name, since in told.items():
        made = Alert(
            id=digest([name, NO_DATA, since])[:8],
            metric=name,
            direction=NO_DATA,
            severity=severities.get(name, series[0].rule.severity),
            opened_at=at,
            since=since,
        )
        if not any(each.id == made.id for each in book.alerts):  # else it is open, or somebody has resolved it
            book = book.replace_alert(made)
    return book


def find_running(book: AlertBook, entry: WatchedDirection) -> Alert | None:
    """The alert of a series and direction that has not ended."""
    running = (each for each in book.alerts if not each.is_over)
    return next(
        (each for each in running if (each.metric, each.direction) == (entry.series.name, entry.direction)), None
    )


def _is_large(ratio: float, direction: Direction, effect: float) -> bool:
    return ratio >= 1 + effect if direction == "rises" else ratio <= 1 - effect
