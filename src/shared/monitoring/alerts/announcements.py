"""What people are told of alerts: each opening, worsening and end once, and again what was hidden or is open for long.

It follows from what an alert is now and what was told of it, whatever runs came between: a run that was killed before
anybody was told is made up for by the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from shared.core.state.alert_records import Alert, AlertBook, Told

Event = Literal["opened", "worsened", "reminded", "resolved"]


class Announcements(NamedTuple):
    """What is to be told of which alerts, and what was told of every alert once that has happened."""

    events: tuple[tuple[Event, Alert], ...]
    told: Mapping[str, Told]


def plan_announcements(
    book: AlertBook, hidden: Collection[str], renotify: timedelta | None, now: datetime
) -> Announcements:
    """What is to be told now, but for alerts with a `hidden` id."""
    events: list[tuple[Event, Alert]] = []
    told: dict[str, Told] = {}
    for alert in book.alerts:
        before = (book.told or {}).get(alert.id)
        event = _find_event(alert, before, alert.id in hidden, None if renotify is None else now - renotify)
        if event is not None:
            events.append((event, alert))
            told[alert.id] = Told(alert.evidence, now.isoformat(), alert.is_over)
        else:
            evidence, at = (alert.evidence, "") if before is None else (before.evidence, before.at)
            told[alert.id] = Told(evidence, at, alert.is_over, alert.id in hidden)
    return Announcements(tuple(events), told)


def _find_event(alert: Alert, before: Told | None, hidden: bool, remind_before: datetime | None) -> Event | None:
    if alert.is_over:  # also of a muted one: whoever was told that it is open learns that it is not
        told_open = before is not None and bool(before.at) and not before.over
        return "resolved" if told_open or (before is None and not hidden) else None
    if hidden:
        return None
    if before is None or not before.at:
        return "opened"
    if before.hidden:
        return "reminded"
    if alert.evidence > before.evidence:
        return "worsened"
    late = remind_before is not None and datetime.fromisoformat(before.at) <= remind_before
    return "reminded" if late and alert.state == "open" else None
