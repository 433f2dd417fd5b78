"""`trueline alerts`: what is watched and what is alerted, and what people make of it."""

from __future__ import annotations

import os
from argparse import Namespace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.core.clock import utc_now
from shared.core.digests import to_plain
from shared.core.errors import UsageError
from shared.core.state.alert_records import ALL_SERIES, Alert, AlertBook, AlertState, Mute
from shared.report.text.alert_words import alerts_text, describe_alert
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import open_stored_state, print_json, print_text, require_state
from shared.wiring.config.maintenance_config import parse_span
from shared.wiring.run.interruption import run_until_done
from shared.wiring.run.watch_alerts import open_keeper, read_alerts

if TYPE_CHECKING:
    from shared.monitoring.alerts.alert_book import AlertKeeper


def main(options: Namespace) -> int:
    """Show the alerts of a monitor, or change one.

    Raises:
        UsageError: when there is no such alert or metric. StoreError: when the state cannot be read or written.
    """
    if "heartbeat" in (options.action, options.config):
        return _send_heartbeat(options)
    built = open_monitor(options)
    if options.action in (None, "show"):
        _show(built, options)
    else:
        _change(built, options)
    return 0


def _send_heartbeat(options: Namespace) -> int:
    """Ask for the address of the command line, else of the configuration, else of the environment."""
    from shared.wiring.serve.heartbeat_ping import host_of, send_heartbeat  # late: only this needs an HTTP client

    url, option = options.url, "--url"
    if not url and options.action == "heartbeat":
        block = open_monitor(options).config.values.alerts
        url, option = "" if block is None else block.heartbeat_url.get_secret_value(), "alerts.heartbeat_url"
    if not url:
        url, option = os.environ.get("TRUELINE_HEARTBEAT_URL", ""), "the variable TRUELINE_HEARTBEAT_URL"
    if not url:
        raise UsageError(
            "alerts heartbeat: expected an address: --url URL, alerts.heartbeat_url of a configuration"
            " (`trueline alerts CONFIG heartbeat`), or the variable TRUELINE_HEARTBEAT_URL"
        )
    host = host_of(url, option)
    options.output_redactor.secrets.add((url,))
    run_until_done(send_heartbeat(url, host))
    print_text(f"heartbeat sent to {host}\n")
    return 0


def _show(built: BuiltMonitor, options: Namespace) -> None:
    with open_stored_state(built.state) as stores:
        view = read_alerts(built, stores, utc_now())
    book, alerts = view.book, view.book.alerts
    if options.action == "show":
        alerts = (_find(book, options.id),)
    if options.json:
        values: dict[str, Any] = {"alerts": [to_plain(each) for each in alerts]}
        values["mutes"] = {metric: each._asdict() for metric, each in (book.mutes or {}).items()}
        values["hidden"] = {each.id: view.hidden[each.id] for each in alerts if each.id in view.hidden}
        print_json(values | {"series": view.statuses, "maintenance": view.maintenance})
    elif options.action == "show":
        facts = {name: value for name, value in to_plain(alerts[0]).items() if value not in ("", None)}
        print_text("\n".join([describe_alert(alerts[0]), *(f"  {name:12} {each}" for name, each in facts.items()), ""]))
    else:
        print_text(alerts_text(view))


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
        keeper = open_keeper(built, stores)
        if options.action in ("mute", "unmute"):
            print_text(_mute(built, keeper, options))
            return
        state: AlertState = "acknowledged" if options.action == "ack" else "resolved"
        alert = keeper.settle(options.id, state, options.owner, options.reason, utc_now())
        print_text(f"{describe_alert(alert)}: {state}\n")
    finally:
        stores.close()


def _mute(built: BuiltMonitor, keeper: AlertKeeper, options: Namespace) -> str:
    """Mute a metric, or no longer; what was done."""
    block = built.config.values.alerts
    watched = [] if block is None else [each.metric for each in block.rules]
    known = list(dict.fromkeys([*watched, *built.config.values.score_labels, ALL_SERIES]))
    if options.id not in known:
        raise UsageError(f"alerts {options.action}: unknown metric {options.id!r}; known: {', '.join(known)}")
    if options.action == "unmute":
        keeper.mute(options.id, None)
        return f"{options.id} is not muted\n"
    try:
        until = utc_now() + parse_span(options.until)
    except ValueError as error:
        raise UsageError(f"--until: {error}") from error
    if not options.owner:
        raise UsageError("alerts mute: expected --owner NAME: who decides that it is hidden")
    keeper.mute(options.id, Mute(options.owner, options.reason, until.isoformat()))
    return f"{options.id} is muted until {_minute(until)}\n"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
