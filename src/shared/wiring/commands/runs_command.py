"""`trueline runs` and `trueline compare`: past runs, one of them, two beside one another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from shared.core.results import RunReport
from shared.core.state.run_stores import RunReader
from shared.privacy.redact_records import redact_failure
from shared.report.comparison.compare_runs import Comparison, LabelPair, compare_runs
from shared.report.comparison.comparison_text import comparison_text
from shared.report.terminal.run_list import run_facts, runs_json, runs_text
from shared.report.terminal.run_summary import as_json, show
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.commands.report_page import redact_for_display
from shared.wiring.commands.stored_state import find_run, json_values, print_json, print_text, stored_state

_EXAMPLES = 10


def print_runs(built: BuiltMonitor, limit: int, in_json: bool) -> int:
    """Print the newest runs of the monitor, newest first.

    Raises:
        UsageError: when there is no state yet.
    """
    with stored_state(built) as opened:
        found = opened.reader.runs(built.plan.name, limit)
    if in_json:
        print_json(runs_json(found))
    elif not found:
        print_text(f"monitor {built.plan.name!r} has no run yet\n")
    else:
        print_text(runs_text(found, found[0].stream if not built.state.remembers else built.plan.stream))
    return 0


def print_run(built: BuiltMonitor, run_id: str | None, in_json: bool) -> int:
    """Print all that is stored of one run, without an id of the newest.

    Raises:
        UsageError: when there is no such run.
    """
    with stored_state(built) as opened:
        newest = next(iter(opened.reader.runs(built.plan.name, 1)), None)
        run = newest if run_id is None and newest is not None else find_run(built, opened.reader, run_id or "")
        run = replace(redact_for_display(built, run), examples=_failures(built, opened.reader, run))
    if in_json:
        print_json(as_json(run))
    else:
        show(run, sys.stdout, run_facts(run))
    return 0


def _failures(built: BuiltMonitor, reader: RunReader, run: RunReport) -> tuple[str, ...]:
    """Some of the run's failures in its metrics' own words."""
    stored = (each for result in reader.results(run.stream, run.run_id) for each in result.failures)
    found = [
        each if built.redactor is None else redact_failure(each, built.redactor) for each in islice(stored, _EXAMPLES)
    ]
    return tuple(f"{each.metric.label} on {each.item_id}: {each.kind}: {each.message}" for each in found)


def print_comparison(built: BuiltMonitor, before: str, after: str, in_json: bool) -> int:
    """Print two runs beside one another.

    Raises:
        UsageError: when one of them is not known.
    """
    with stored_state(built) as opened:
        runs = [find_run(built, opened.reader, each) for each in (before, after)]
        found = compare_runs(opened.reader, *runs)
    name: Callable[[str], str] = str if built.redactor is None else built.redactor.name
    if in_json:
        print_json(_shown(found, name))
    else:
        print_text(comparison_text(found, name))
    return 0


def _shown(found: Comparison, name: Callable[[str], str]) -> dict[str, object]:
    """The comparison with its runs shortened to what tells them apart, and ids as they may be shown."""
    labels = [_named(pair, name) for pair in found.labels]
    return {
        "before": runs_json([found.before])[0],
        "after": runs_json([found.after])[0],
        "paired": found.paired,
        "only_before": found.only_before,
        "only_after": found.only_after,
        "unequal": found.unequal,
        "not_numbers": found.not_numbers,
        "labels": [{**pair, "better": own.better, "worse": own.worse} for pair, own in labels],
        "apart": found.apart,
    }


def _named(pair: LabelPair, name: Callable[[str], str]) -> tuple[dict[str, object], LabelPair]:
    values = pair.values
    if values is not None:
        values = values._replace(most=tuple(each._replace(item_id=name(each.item_id)) for each in values.most))
    own = replace(pair, values=values)
    return dict(json_values(own)), own
