"""`trueline report`: the HTML report of a past run, written again."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from shared.core.clock import iso
from shared.scoring.gates import check_gates
from shared.wiring.build.describe_series import Past, compare_with_past
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.report_page import StoredRun, find_newest_run, monitor_judges, write_page
from shared.wiring.commands.stored_state import open_stored_state
from shared.wiring.config.find_config import display_path


def main(options: Namespace) -> int:
    """Write the HTML report of a past run again."""
    built = open_monitor(options)
    with open_stored_state(built.state) as stores:
        run = find_newest_run(stores.reader.runs, built.plan, options.run)
        judges = monitor_judges(built).try_collect(stores.reader, stores.anchors, run.stream)
        newest = run.run_id == find_newest_run(stores.reader.runs, built.plan).run_id
        past = compare_with_past(built, stores.reader.results) if newest else Past()
        gates, _ = check_gates([each.build() for each in built.config.values.gates], run.estimates, past.recent)
        stored = StoredRun(stores.reader, run, judges, past, gates)
        path = write_page(built, stored, None if options.out is None else Path(options.out))
    print(f"report of run {run.run_id} ({iso(run.started_at)[:19]}Z): {display_path(path)}")
    return 0
