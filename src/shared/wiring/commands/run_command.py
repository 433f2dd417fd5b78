"""`trueline run`: run a monitor once."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

from shared.core.clock import utc_now
from shared.core.results import RunReport
from shared.monitoring.monitor_result import MonitorResult
from shared.privacy.redact_records import redact_report
from shared.report.terminal.progress_display import choose_progress_display
from shared.report.terminal.run_summary import Beside, print_summary, report_json
from shared.report.text.formatting import line
from shared.report.text.result_words import STATUS
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions
from shared.wiring.build.describe_series import compare_with_past
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.report_page import StoredRun, monitor_judges, try_write_page
from shared.wiring.config.find_config import display_path
from shared.wiring.run.exit_codes import EXIT_CODES
from shared.wiring.run.guarded_output import metrics_print_to_stderr
from shared.wiring.run.interruption import run_until_done
from shared.wiring.run.session import run_once


def main(options: Namespace) -> int:
    """Run a monitor once, write its HTML report and print the summary."""
    run_options = RunOptions(
        overrides=tuple(options.overrides),
        limit=options.limit,
        deduplicate=not options.no_dedup,
        dry_run=options.dry_run,
        first_run=options.first_run,
        publish=options.publish,
    )
    built = open_monitor(options, run_options)
    quiet = options.quiet or not built.config.values.evaluation.show_progress
    with metrics_print_to_stderr(), choose_progress_display(quiet) as progress:
        result = run_until_done(run_once(built, progress))
    ended = finish_run(built, result)
    report, page = ended.report, ended.page
    places = {} if page is None else {"report": display_path(page)}
    if not options.dry_run:
        places["state"] = str(built.state)
    if options.json:
        values = report_json(report, ended.beside.changes) | {"places": places}
        print(json.dumps(values, ensure_ascii=False, indent=2))
    elif not options.quiet:
        print_summary(report, sys.stdout, places, beside=ended.beside)
    elif report.status in EXIT_CODES:  # the first note says why
        why = line(": ".join([STATUS[report.status][1], *report.notes[:1]]), 600)
        print(f"trueline: {why}", file=sys.stderr)
    return EXIT_CODES.get(report.status, 0)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run with all that follows it: its report as it may be shown, its page, and what is known besides."""

    report: RunReport
    page: Path | None
    beside: Beside


def finish_run(built: BuiltMonitor, result: MonitorResult) -> FinishedRun:
    """Do what follows every run of a monitor, by hand or on a schedule: write its HTML report."""
    report = redact_report(result.report, built.redactor)
    stored, page = StoredRun(result.reader, report), None
    changes = None
    if built.plan.mode != "dry_run" and (report.counts.scored or report.counts.failed_items):
        changes = compare_with_past(built, result.reader.results)
        judges = monitor_judges(built).try_collect(result.reader, result.anchors, report.stream)
        stored = replace(stored, judges=judges)
        page, report = try_write_page(built, stored)
        report = _count_page(result, report)
    return FinishedRun(report, page, Beside(changes, judges=stored.judges))


def _count_page(result: MonitorResult, report: RunReport) -> RunReport:
    """The report with the page as a part of the run, as it is stored, too."""
    if result.reports is None or report.finished_at is None:
        return report
    until = max(report.finished_at, utc_now())
    result.reports.extend_run(report.run_id, until)
    return replace(report, finished_at=until)
