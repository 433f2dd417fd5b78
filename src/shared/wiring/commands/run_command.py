"""`trueline run`: run a monitor once."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shared.core.clock import utc_now
from shared.core.errors import ConfigError
from shared.core.results import RunReport
from shared.monitoring.monitor_result import MonitorResult
from shared.privacy.redact_records import redact_report
from shared.report.terminal.progress_display import choose_progress_display
from shared.report.terminal.run_summary import Beside, print_summary, report_json
from shared.report.text.formatting import line
from shared.report.text.result_words import STATUS
from shared.scoring.gates import Gate, check_gates, parse_condition
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions
from shared.wiring.build.describe_series import compare_with_past
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.report_page import StoredRun, monitor_judges, try_write_page
from shared.wiring.config.find_config import display_path
from shared.wiring.config.gates_config import check_metric_name
from shared.wiring.run.exit_codes import EXIT_CODES, GATE_FAILED
from shared.wiring.run.guarded_output import metrics_print_to_stderr
from shared.wiring.run.interruption import run_until_done
from shared.wiring.run.notify_people import notify_of_run, run_or_tell
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
    gates = read_gates(built, options.fail_on)
    quiet = options.quiet or not built.config.values.evaluation.show_progress
    with metrics_print_to_stderr(), choose_progress_display(quiet) as progress:
        result = run_until_done(run_or_tell(built, run_once(built, progress)))
    ended = finish_run(built, result, gates)
    report, page = ended.report, ended.page
    if not options.dry_run:
        run_until_done(notify_of_run(built.notifiers, report, ended.beside, built.redactor))
    write_job_summary(ended, built.config.environment.variables)
    places = {} if page is None else {"report": display_path(page)}
    if not options.dry_run:
        places["state"] = str(built.state)
    if options.json:
        values = report_json(report, ended.beside) | {"places": places}
        print(json.dumps(values, ensure_ascii=False, indent=2))
    elif not options.quiet:
        print_summary(report, sys.stdout, places, beside=ended.beside)
    elif report.status in EXIT_CODES:  # the first warning says why
        why = line(": ".join([STATUS[report.status][1], *(report.warnings or report.notes)[:1]]), 600)
        print(f"trueline: {why}", file=sys.stderr)
    if options.quiet or options.json:
        for failed in ended.beside.failed_gates:
            print(f"trueline: {line(failed, 600)}", file=sys.stderr)
    return EXIT_CODES.get(report.status, GATE_FAILED if fails_gate(built, ended.beside) else 0)


def fails_gate(built: BuiltMonitor, beside: Beside) -> bool:
    """Whether a run that ended well is not good enough: a gate failed, or an alert is open and the configuration says
    that this counts."""
    block = built.config.values.alerts
    return bool(beside.failed_gates) or (block is not None and block.fail and bool(beside.alerts))


def describe_alerts(built: BuiltMonitor, result: MonitorResult) -> Beside:
    """The open alerts, told and hidden, and the series that are worth a look or are not watched yet."""
    if result.alerts is None:
        return Beside()
    found = result.alerts
    running = [each for each in found.book.alerts if not each.is_over]
    looks = (each for each in found.statuses if each.state in ("look", "not enough data"))
    return Beside(
        alerts=tuple(each for each in running if each.id not in found.hidden),
        hidden=tuple((each, found.hidden[each.id]) for each in running if each.id in found.hidden),
        looks=tuple(looks),
    )


def write_job_summary(ended: FinishedRun, variables: Mapping[str, str]) -> None:
    """Append the run to the summary of the job, where it is one of GitHub Actions. A summary that cannot be written is
    a line on standard error: the scores are stored.
    """
    path = variables.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    from shared.report.terminal.job_summary import job_summary  # late: only jobs need it

    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(job_summary(ended.report, ended.beside))
    except OSError as error:
        print(f"trueline: the job's summary {path} cannot be written: {error.strerror or error}", file=sys.stderr)


def read_gates(built: BuiltMonitor, conditions: Sequence[str] = ()) -> list[Gate]:
    """The gates of the configuration, and those of `--fail-on`.

    Raises:
        ConfigError: for a condition that is none, or about a metric that is not there.
    """
    config = built.config.values
    given = [parse_condition(each) for each in conditions]
    for gate in given:
        try:
            check_metric_name("a gate", gate.metric, config.score_labels)
        except ValueError as error:
            raise ConfigError(f"--fail-on: {error}") from error
    return [*(each.build() for each in config.gates), *given]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run with all that follows it: its report as it may be shown, its page, and what is known besides."""

    report: RunReport
    page: Path | None
    beside: Beside


def finish_run(built: BuiltMonitor, result: MonitorResult, gates: Sequence[Gate] | None = None) -> FinishedRun:
    """Do what follows every run of a monitor, by hand or on a schedule: compare it with the past, check its gates (the
    configuration's unless given), write its HTML report.
    """
    report = redact_report(result.report, built.redactor)
    stored, page = StoredRun(result.reader, report), None
    beside = describe_alerts(built, result)
    if built.plan.mode != "dry_run" and (report.counts.scored or report.counts.failed_items):
        past = compare_with_past(built, result.reader.results)
        gates = read_gates(built) if gates is None else gates
        checked, unchecked = check_gates(gates, report.estimates, past.recent)
        report = replace(report, notes=(*report.notes, *unchecked))
        judges = monitor_judges(built).try_collect(result.reader, result.anchors, report.stream)
        beside = replace(beside, changes=past.changes, gates=checked, judges=judges, segments=past.segments)
        page, report = try_write_page(built, replace(stored, report=report, judges=judges, past=past, gates=checked))
        report = _count_page(result, report)
    return FinishedRun(report, page, beside)


def _count_page(result: MonitorResult, report: RunReport) -> RunReport:
    """The report with the page as a part of the run, as it is stored, too."""
    if result.reports is None or report.finished_at is None:
        return report
    until = max(report.finished_at, utc_now())
    result.reports.extend_run(report.run_id, until)
    return replace(report, finished_at=until)
