"""The alerts of a monitor: looked at after each run that stored scores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from shared.core.ports import Notification
from shared.core.results import RunReport, Status
from shared.core.state.alert_records import Alert
from shared.database.stores.sql_drift_states import SqlDriftStates
from shared.report.text.alert_words import AlertsView, describe_alert
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.describe_series import describe_series
from shared.wiring.build.state_location import OpenStores

if TYPE_CHECKING:
    from shared.monitoring.alerts.alert_book import AlertKeeper
    from shared.monitoring.alerts.announcements import Event
    from shared.monitoring.alerts.watch_series import Watch

_COMPLETE: frozenset[Status] = frozenset(("done", "nothing_new", "unpublished"))
"""Runs that have read and scored what there was: after others, missing data is no silence."""


def open_keeper(built: BuiltMonitor, stores: OpenStores) -> AlertKeeper:
    """The alerts of the monitor's stream."""
    from shared.monitoring.alerts.alert_book import AlertKeeper  # late: only monitors with alerts need it

    return AlertKeeper(SqlDriftStates(stores.database), built.plan.stream)


async def watch_alerts(built: BuiltMonitor, stores: OpenStores, report: RunReport, now: datetime) -> Watch | None:
    """Take the hours that have come with a run, and tell people what happened to alerts; None where nothing is watched,
    or the run has no past.

    Raises:
        StoreError: when the state cannot be read or written.
    """
    block, plan = built.config.values.alerts, built.plan
    if block is None or plan.one_off or plan.mode == "dry_run" or not plan.aggregates:
        return None
    series = describe_series(built.metrics, built.nodes)
    from shared.monitoring.alerts.announcements import plan_announcements

    keeper, alert_plan = open_keeper(built, stores), block.build()
    found = keeper.watch(alert_plan, stores.reader.results, series, now, report.status in _COMPLETE)
    planned = plan_announcements(found.book, found.hidden, alert_plan.renotify, now)
    await _tell(built, stores, planned.events, now)
    if planned.told != found.book.told:
        keeper.note_told(planned.told)
    return found


async def _tell(built: BuiltMonitor, stores: OpenStores, events: Sequence[tuple[Event, Alert]], now: datetime) -> None:
    wanted = [each for each in built.notifiers if "alerts" in each.topics]
    if not wanted or not events:
        return
    from shared.database.stores.sql_sent_messages import SqlSentMessages  # late: only then is anybody told
    from shared.wiring.run.notify_people import notify_people

    for event, alert in events:
        notification = describe_event(built.plan.name, event, alert, now)
        await notify_people(wanted, notification, built.redactor, SqlSentMessages(stores.database))


def describe_event(monitor: str, event: Event, alert: Alert, now: datetime) -> Notification:
    """What people are told of an alert."""
    facts = (("metric", alert.metric), ("direction", alert.direction), ("since", alert.since), ("alert", alert.id))
    return Notification(
        id=f"alert:{monitor}:{alert.id}",
        title=f"{monitor}: {describe_alert(alert)}" + (" has ended" if alert.is_over else ""),
        state=event,
        monitor=monitor,
        severity=alert.severity,
        facts=facts,
        at=now if event == "reminded" else datetime.fromisoformat(alert.closed_at or alert.opened_at),
    )


def read_alerts(built: BuiltMonitor, stores: OpenStores, now: datetime) -> AlertsView:
    """How the alerts of a monitor stood after the last look, and which of them are hidden now."""
    from shared.monitoring.alerts.hidden_alerts import find_hidden, find_maintenance
    from shared.monitoring.alerts.watch_series import describe_stored

    block, book = built.config.values.alerts, open_keeper(built, stores).read()
    if block is None:
        return AlertsView(book, (), {}, None, now)
    plan = block.build()
    hidden, maintenance = find_hidden(plan, book, now), find_maintenance(plan.maintenance, now)
    return AlertsView(book, describe_stored(plan, book), hidden, maintenance, now)
