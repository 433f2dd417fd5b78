"""The alerts of a monitor: looked at after each run that stored scores."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from shared.core.ports import Notification
from shared.core.results import RunReport, Status
from shared.core.state.alert_records import Alert, AlertBook, SeriesStatus
from shared.database.stores.sql_drift_states import SqlDriftStates
from shared.report.text.alert_words import describe_alert
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.describe_series import describe_series
from shared.wiring.build.state_location import OpenStores

if TYPE_CHECKING:
    from shared.monitoring.alerts.alert_book import AlertKeeper
    from shared.monitoring.alerts.alert_lifecycle import Event
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
    complete = report.status in _COMPLETE
    found = open_keeper(built, stores).watch(block.build(), stores.reader.results, series, now, complete)
    wanted = [each for each in built.notifiers if "alerts" in each.topics]
    told = [(event, each) for event, each in found.events if found.book.muted(each.metric, now) is None]
    if wanted and told:
        from shared.database.stores.sql_sent_messages import SqlSentMessages  # late: only then is anybody told
        from shared.wiring.run.notify_people import notify_people

        for event, alert in told:
            notification = describe_event(built.plan.name, event, alert)
            await notify_people(wanted, notification, built.redactor, SqlSentMessages(stores.database))
    return found


def describe_event(monitor: str, event: Event, alert: Alert) -> Notification:
    """What people are told of an alert: one that opened and ended in one look has ended."""
    facts = (("metric", alert.metric), ("direction", alert.direction), ("since", alert.since), ("alert", alert.id))
    return Notification(
        id=f"alert:{monitor}:{alert.id}",
        title=f"{monitor}: {describe_alert(alert)}" + (" has ended" if alert.is_over else ""),
        state="resolved" if alert.is_over else event,
        monitor=monitor,
        severity=alert.severity,
        facts=facts,
        at=datetime.fromisoformat(alert.closed_at or alert.opened_at),
    )


def read_statuses(built: BuiltMonitor, book: AlertBook) -> tuple[SeriesStatus, ...]:
    """How each rule stood after the last look."""
    from shared.monitoring.alerts.watch_series import describe_stored

    block = built.config.values.alerts
    return () if block is None else describe_stored(block.build(), book)
