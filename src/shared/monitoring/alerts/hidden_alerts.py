"""Alerts that people are not told of, and why: muted by somebody, inhibited by another alert, or maintenance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.state.alert_records import AlertBook, AlertPlan, Hidden, MaintenanceWindow

_HOUR = timedelta(hours=1)


def find_hidden(plan: AlertPlan, book: AlertBook, now: datetime) -> dict[str, Hidden]:
    """Why alerts are not told now, by their ids."""
    maintenance = find_maintenance(plan.maintenance, now)
    open_metrics = {each.metric for each in book.alerts if not each.is_over}
    inhibitors = {target: rule.metric for rule in plan.rules if rule.metric in open_metrics for target in rule.inhibits}
    found: dict[str, Hidden] = {}
    for each in book.alerts:
        mute = book.muted(each.metric, now)
        if mute is not None:
            found[each.id] = Hidden("muted", mute.owner, mute.until, mute.reason)
        elif maintenance is not None:
            found[each.id] = maintenance
        elif each.metric in inhibitors:
            found[each.id] = Hidden("inhibited", inhibitors[each.metric])
    return found


def find_maintenance(windows: Sequence[MaintenanceWindow], now: datetime) -> Hidden | None:
    """The maintenance of this moment that lasts longest, if there is any."""
    running = [
        Hidden("maintenance", until=end.isoformat(), reason=each.reason)
        for each in windows
        for start, end in each.stretches(now, now + timedelta.resolution)
        if start <= now < end
    ]
    return max(running, key=lambda each: each.until, default=None)


def find_maintenance_hours(windows: Sequence[MaintenanceWindow], first: datetime, last: datetime) -> set[datetime]:
    """The starts of all hours that maintenance touches, from `first` to `last`."""
    found: set[datetime] = set()
    for each in windows:
        for start, end in each.stretches(first, last + _HOUR):
            hour = start.replace(minute=0, second=0, microsecond=0)
            while hour < end:
                found.add(hour)
                hour += _HOUR
    return found
