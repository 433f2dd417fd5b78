"""`trueline compare`: two runs, item by item where both scored the same."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace

from shared.report.comparison.compare_runs import Comparison, LabelPair, compare_runs, find_worse
from shared.report.comparison.comparison_text import comparison_text
from shared.report.terminal.run_list import runs_json
from shared.report.text.formatting import line
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import find_run, json_values, open_stored_state, print_json, print_text
from shared.wiring.run.exit_codes import GATE_FAILED


def main(options: Namespace) -> int:
    """Print two runs beside one another."""
    built = open_monitor(options)
    with open_stored_state(built.state) as stores:
        reader, monitor = stores.reader, built.plan.name
        runs = [find_run(reader.runs, monitor, each) for each in (options.run_a, options.run_b)]
        found = compare_runs(reader.results, *runs)
    name = built.redactor.name
    if options.json:
        print_json(_comparison_json(found, name))
    else:
        print_text(comparison_text(found, name))
    worse = find_worse(found) if options.fail_on else []
    if worse:
        print(f"trueline: worse in {line(found.after.run_id, 60)}: {', '.join(map(line, worse))}", file=sys.stderr)
    return GATE_FAILED if worse else 0


def _comparison_json(found: Comparison, name: Callable[[str], str]) -> dict[str, object]:
    """The comparison as values, with ids as they may be shown."""
    labels = [_rename_items(pair, name) for pair in found.labels]
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


def _rename_items(pair: LabelPair, name: Callable[[str], str]) -> tuple[dict[str, object], LabelPair]:
    values = pair.values
    if values is not None:
        values = values._replace(most=tuple(each._replace(item_id=name(each.item_id)) for each in values.most))
    own = replace(pair, values=values)
    return dict(json_values(own)), own
