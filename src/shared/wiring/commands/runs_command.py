"""`trueline runs`: past runs, or all that is stored of one."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from itertools import islice

from shared.core.results import RunReport
from shared.core.state.run_stores import ResultReader
from shared.privacy.redact_records import redact_failure, redact_report
from shared.privacy.redaction import TextCleaner
from shared.report.terminal.run_list import run_facts, runs_json, runs_text
from shared.report.terminal.run_summary import print_summary, report_json
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.describe_series import compare_with_past
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import find_run, open_stored_state, print_json, print_text

_EXAMPLES = 10


def main(options: Namespace) -> int:
    """List the newest runs of the monitor, or show one."""
    built = open_monitor(options)
    if options.show is None:
        _print_runs(built, options.limit, options.json)
    else:
        _print_run(built, options.id, options.json)
    return 0


def _print_runs(built: BuiltMonitor, limit: int, in_json: bool) -> None:
    """Print the newest runs of the monitor, newest first."""
    with open_stored_state(built.state) as stores:
        found = stores.reader.runs.newest_runs(built.plan.name, limit)
        changes = None if in_json else compare_with_past(built, stores.reader.results).changes
    if in_json:
        print_json(runs_json(found))
    elif not found:
        print_text(f"monitor {built.plan.name!r} has no run yet\n")
    else:
        stream = built.plan.stream if built.state.remembers else found[0].stream
        labels = [*(node.label for node in built.nodes), *(metric.label for metric in built.metrics)]
        print_text(runs_text(found, stream, changes, labels))


def _print_run(built: BuiltMonitor, run_id: str | None, in_json: bool) -> None:
    """Print all that is stored of one run; without an id, of the newest."""
    with open_stored_state(built.state) as stores:
        newest = next(iter(stores.reader.runs.newest_runs(built.plan.name, 1)), None)
        found = None if run_id is not None else newest
        run = found or find_run(stores.reader.runs, built.plan.name, run_id or "")
        run = replace(
            redact_report(run, built.redactor),
            examples=_failure_examples(stores.reader.results, run, built.redactor),
        )
    if in_json:
        print_json(report_json(run))
    else:
        print_summary(run, sys.stdout, run_facts(run))


def _failure_examples(reader: ResultReader, run: RunReport, redactor: TextCleaner) -> tuple[str, ...]:
    """Some of the run's failures with their metrics' own messages."""
    stored = (each for result in reader.read_outlines(run.stream, run.run_id) for each in result.failures)
    found = [redact_failure(each, redactor) for each in islice(stored, _EXAMPLES)]
    return tuple(f"{each.metric.label} on {each.item_id}: {each.kind}: {each.message}" for each in found)
