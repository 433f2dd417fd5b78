"""The HTML page of a run: which run, where it goes, and what is known of its judges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.core.errors import StoreError, UsageError
from shared.core.results import RunReport
from shared.core.state.run_stores import RunReader, StateReader
from shared.monitoring.plan import MonitorPlan
from shared.privacy.redact_records import redact_report
from shared.report.judges.monitor_judges import MonitorJudges
from shared.report.records.judge_records import JudgeOptions, Judges
from shared.scoring.gates import GateResult
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.describe_series import Past
from shared.wiring.build.sink_langfuse import LANGFUSE_SOURCES


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run, where its rows are, and what is known besides: its judges, how its metrics changed, and its gates."""

    reader: StateReader
    report: RunReport
    judges: Judges = field(default_factory=Judges)
    past: Past = field(default_factory=Past)
    gates: tuple[GateResult, ...] = ()


def monitor_judges(built: BuiltMonitor) -> MonitorJudges:
    """What is needed of a monitor to compare its judges with people."""
    versions = {each.label: (each.ref.digest, each.threshold) for each in built.metrics}
    options = JudgeOptions(
        chosen=built.labels.chosen,
        versions=versions | {node.label: (node.digest, node.threshold) for node in built.nodes},
        aggregates=built.plan.aggregates,
        show_text=built.shows_texts,
        cleaner=built.redactor,
    )
    stream = None if built.config.values.anchors is None else built.anchor_stream
    return MonitorJudges(built.labels.sources, options, stream, built.plan.again.lot)


def try_write_page(built: BuiltMonitor, stored: StoredRun) -> tuple[Path | None, RunReport]:
    """Write the HTML report. A page that cannot be written is a note of the report: the scores are stored."""
    report = stored.report
    if built.config.values.report.path is None:
        return None, report
    try:
        return write_page(built, stored, None), report
    except StoreError as error:
        return None, replace(report, notes=(*report.notes, f"the HTML report could not be written: {error}"))


def write_page(built: BuiltMonitor, stored: StoredRun, out: Path | None) -> Path:
    """Write the HTML report of a run; where it is.

    Raises:
        StoreError: when it cannot be written.
    """
    from shared.report.page.collect import collect  # late: a run that finds nothing needs no page
    from shared.report.page.html import write_report
    from shared.report.records.page_records import ReportOptions

    config, report = built.config.values, stored.report
    ranges = {metric.label: (metric.spec.low, metric.spec.high) for metric in built.metrics}
    options = ReportOptions(days=config.report.days, ranges=ranges, show_text=built.shows_texts, cleaner=built.redactor)
    path = out
    if path is None:
        own = report.monitor + (
            "-no-dedup" if built.state.remembers and report.stream.monitor_key != report.monitor else ""
        )
        name = (config.report.path or "data/reports/{name}.html").replace("{name}", own)
        path = built.config.environment.root / name.replace("{run_id}", report.run_id)
    data = collect(stored.reader.results, redact_report(report, built.redactor), built.config.document.text, options)
    data = replace(data, gates=stored.gates, trace_url=_find_trace_url(built))
    data = replace(data, stratum_field=str(config.sampling.get("field", data.stratum_field)))
    data = replace(data, changes=stored.past.changes, segments=stored.past.segments)
    write_report(data, path, stored.judges)
    return path


def _find_trace_url(built: BuiltMonitor) -> str | None:
    """Where a trace is shown: as configured, else by the Langfuse that the traces are read from."""
    source, given = built.config.values.source, built.config.values.report.trace_url
    if given is None and source["type"] in LANGFUSE_SOURCES:
        return f"{str(source['base_url']).rstrip('/').removesuffix('/api/public')}/trace/{{trace_id}}"
    return given


def find_newest_run(reader: RunReader, plan: MonitorPlan, run_id: str | None = None) -> RunReport:
    """The run of that id, or the monitor's newest with scores; runs without deduplication have streams of their own."""
    if run_id is not None:
        found = reader.read_run(run_id)
        if found is None:
            known = ", ".join(run.run_id for run in reader.newest_runs(plan.name, limit=5)) or "none"
            raise UsageError(f"run {run_id!r} is not known. The newest of this monitor: {known}")
        return found
    mine = (run for run in reader.newest_runs(plan.name, limit=200) if run.stream.source_key == plan.stream.source_key)
    newest = next((run for run in mine if run.counts.scored or run.counts.failed_items), None)
    if newest is None:
        raise UsageError(f"monitor {plan.name!r} has no run with scores yet; run it first")
    return newest
