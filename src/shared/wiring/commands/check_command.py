"""`trueline check`: validate a configuration, explain what it would do, and with `--connect` ask its servers."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from shared.core.best_effort import attempt_async
from shared.core.errors import StoreError
from shared.core.state.outbox import MessageSink
from shared.database.engine.database import describe_state
from shared.monitoring.source_window import SourceInWindow
from shared.privacy.redacting_sinks import RedactingMessages, RedactingSink
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.sink_langfuse import Connecting
from shared.wiring.build.state_location import StateLocation
from shared.wiring.commands.check_text import check_json, check_text
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.run.dry_run import forecast_item_cost
from shared.wiring.run.guarded_output import metrics_print_to_stderr
from shared.wiring.run.interruption import run_until_done


def main(options: Namespace) -> int:
    """Validate a configuration and explain what it would do; 1 when something it connects to does not answer."""
    built = open_monitor(options)
    with metrics_print_to_stderr():
        costs = run_until_done(forecast_item_cost(built))
    if options.json:
        print(json.dumps(check_json(built, costs), ensure_ascii=False, indent=2))
    else:
        print(check_text(built, costs))
    return 0 if not options.connect or _check_connections(built) else 1


def _check_connections(built: BuiltMonitor) -> bool:
    """Print how state, models, source and sinks answer; whether all of them do."""
    state = _check_state(built.state)
    found = built.models.models.check_connections()
    for alias, wrong in found.items():
        print(f"model {alias!r}: {wrong or 'answers'}", file=sys.stderr if wrong else sys.stdout)
    servers = run_until_done(_check_servers(built))
    return state and not any(found.values()) and servers


def _check_state(state: StateLocation) -> bool:
    """Print the version of the state database; whether it can be used."""
    try:
        found = describe_state(state.address)
    except StoreError as error:
        print(f"state: {error}", file=sys.stderr)
        return False
    print(f"state {state}: {found}")
    return True


async def _check_servers(built: BuiltMonitor) -> bool:
    """Ask the source and every sink that can be asked; whether all of them answer."""
    source = built.plan.source
    source = source.inner if isinstance(source, SourceInWindow) else source
    answers = not isinstance(source, Connecting) or await _check_server(f"source {source.key!r}", source)
    for named in built.notifiers:
        if isinstance(named.notifier, Connecting):
            answers &= await _check_server(f"notify {named.name!r}", named.notifier)
    for outlet in built.sinks:
        sink = outlet.sink.inner if isinstance(outlet.sink, (RedactingMessages, RedactingSink)) else outlet.sink
        if isinstance(sink, Connecting):
            answers = await _check_server(f"sink {outlet.name!r}", sink) and answers
        if isinstance(sink, MessageSink):
            await sink.aclose()
    return answers


async def _check_server(which: str, server: Connecting) -> bool:
    """Print what a server can do; whether it answers."""
    found = await attempt_async(server.connect())
    wrong = isinstance(found, Exception)
    print(f"{which}: {found}", file=sys.stderr if wrong else sys.stdout)
    return not wrong
