"""`trueline alerts`: what is watched and what is alerted, and what people make of it."""

from __future__ import annotations

import re
from argparse import Namespace
from datetime import datetime, timedelta
from typing import Any

from shared.core.clock import utc_now
from shared.core.digests import to_plain
from shared.core.errors import UsageError
from shared.core.state.alert_records import Alert, AlertBook, AlertState, Mute
from shared.report.text.alert_words import alerts_text, describe_alert
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import open_stored_state, print_json, print_text, require_state
from shared.wiring.run.watch_alerts import open_keeper, read_statuses

_SPAN = re.compile(r"([0-9.]+)([mhd])")
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def main(options: Namespace) -> int:
    """Show the alerts of a monitor, or change one.

    Raises:
        UsageError: when there is no such alert or metric. StoreError: when the state cannot be read or written.
    """
    built = open_monitor(options)
    if options.action in (None, "show"):
        _show(built, options)
    else:
        _change(built, options)
    return 0


def _show(built: BuiltMonitor, options: Namespace) -> None:
    with open_stored_state(built.state) as stores:
        book = open_keeper(built, stores).read()
    alerts = book.alerts
    if options.action == "show":
        alerts = (_find(book, options.id),)
    if options.json:
        values: dict[str, Any] = {"alerts": [to_plain(each) for each in alerts]}
        print_json(values | {"mutes": {metric: each._asdict() for metric, each in (book.mutes or {}).items()}})
    elif options.action == "show":
        facts = {name: value for name, value in to_plain(alerts[0]).items() if value not in ("", None)}
        print_text("\n".join([describe_alert(alerts[0]), *(f"  {name:12} {each}" for name, each in facts.items()), ""]))
    else:
        print_text(alerts_text(book, read_statuses(built, book), utc_now()))


def _find(book: AlertBook, alert_id: str | None) -> Alert:
    found = book.find(alert_id or "")
    if found is None:
        known = ", ".join(each.id for each in book.alerts[-10:]) or "none"
        raise UsageError(f"alert {alert_id!r} is not known. The newest of this monitor: {known}")
    return found


def _change(built: BuiltMonitor, options: Namespace) -> None:
    require_state(built.state)
    if not options.id:
        raise UsageError(f"alerts {options.action}: expected an id (of `mute`, the name of a metric)")
    stores = built.state.open()
    try:
        keeper, now = open_keeper(built, stores), utc_now()
        if options.action == "mute":
            labels = built.config.values.score_labels
            if options.id not in labels:
                raise UsageError(f"alerts mute: unknown metric {options.id!r}; known: {', '.join(labels)}")
            until = now + parse_span(options.until)
            keeper.mute(options.id, Mute(options.owner, options.reason, until.isoformat()))
            print_text(f"{options.id} is muted until {_minute(until)}\n")
            return
        state: AlertState = "acknowledged" if options.action == "ack" else "resolved"
        alert = keeper.settle(options.id, state, options.owner, options.reason, now)
        print_text(f"{describe_alert(alert)}: {state}\n")
    finally:
        stores.close()


def parse_span(text: str) -> timedelta:
    """A stretch of time such as 30m, 8h or 2d.

    Raises:
        UsageError: for anything else.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise UsageError(f"--until {text!r}: expected minutes, hours or days, such as 30m, 8h or 2d")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
