"""The commands behind the command line. Each takes the parsed options and answers with an exit code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

from shared.core.clock import iso
from shared.core.errors import StoreError, UsageError
from shared.core.ports import RunReader
from shared.core.results import RunReport
from shared.monitoring.plan import MonitorPlan
from shared.privacy.items import redact_report
from shared.report.terminal import as_json, show
from shared.wiring.build import Built, Wishes, build
from shared.wiring.explain import explained, explained_json
from shared.wiring.finding import called, find_config, known_configs
from shared.wiring.job import run_until_done
from shared.wiring.progress import metrics_print_to_stderr, shown_progress
from shared.wiring.registries import build_registries
from shared.wiring.session import execute
from shared.wiring.settings import project_root

EXIT_CODES = {"too_many_failures": 3, "over_budget": 4, "failed": 1}


def run(options: Namespace) -> int:
    """Run a monitor once, write its HTML report and print the summary."""
    built = _built(options, Wishes(tuple(options.overrides), options.limit, not options.no_dedup, options.dry_run))
    quiet = options.quiet or not built.config.evaluation.show_progress
    with metrics_print_to_stderr(), shown_progress(quiet) as progress:
        result = run_until_done(execute(built, progress))
    report = _told(built, result.report)
    page = None
    if report.counts.scored or report.counts.failed_items:
        page, report = _page(built, result.reader, report) if not options.dry_run else (None, report)
    places = {} if page is None else {"report": called(page)}
    if not options.dry_run:
        places["state"] = called(built.store.state(built.around.root))
    if options.json:
        print(json.dumps(as_json(report) | {"places": places}, ensure_ascii=False, indent=2))
    elif not options.quiet:
        show(report, sys.stdout, places)
    return EXIT_CODES.get(report.status, 0)


def _built(options: Namespace, wishes: Wishes) -> Built:
    """The monitor of the command line. Modules beside the project's files can be named in dotted paths."""
    path = find_config(options.config)
    for folder in (project_root(path.resolve().parent, Path.cwd()), Path.cwd()):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    built = build(path, wishes)
    options.voice.use(built.redactor)
    return built


def _told(built: Built, report: RunReport) -> RunReport:
    """The report as it may be shown."""
    return report if built.redactor is None else redact_report(report, built.redactor)


def _page(built: Built, reader: RunReader, report: RunReport) -> tuple[Path | None, RunReport]:
    """Write the HTML report; a page that cannot be written is said and fails nothing, for the scores are stored."""
    if built.config.report.path is None:
        return None, report
    try:
        return write_page(built, reader, report, None), report
    except StoreError as error:
        return None, replace(report, notes=(*report.notes, f"the HTML report could not be written: {error}"))


def write_page(built: Built, reader: RunReader, report: RunReport, out: Path | None) -> Path:
    """Write the HTML report of a run; where it is.

    Raises:
        StoreError: when it cannot be written.
    """
    from shared.report.data import collect  # late: a run that finds nothing needs no page
    from shared.report.html import write_report
    from shared.report.records import ReportOptions

    config = built.config
    ranges = {metric.label: (metric.spec.low, metric.spec.high) for metric in built.metrics}
    show_text = built.redactor is None or config.privacy.show_text
    options = ReportOptions(days=config.report.days, ranges=ranges, show_text=show_text, cleaner=built.redactor)
    path = out
    if path is None:
        own = report.monitor + ("-no-dedup" if built.plan.one_off and built.store.remembers else "")
        name = (config.report.path or "data/reports/{name}.html").replace("{name}", own)
        path = built.around.root / name.replace("{run_id}", report.run_id)
    write_report(collect(reader, _told(built, report), built.document.text, options), path)
    return path


def check(options: Namespace) -> int:
    """Validate a configuration and explain what it would do."""
    built = _built(options, Wishes(tuple(options.overrides)))
    if options.json:
        print(json.dumps(explained_json(built), ensure_ascii=False, indent=2))
    else:
        print(explained(built))
    return 0


def list(options: Namespace) -> int:
    """Show everything that can be chosen by name."""
    registries = build_registries()
    kinds = ("sources", "sampling", "models", "metrics", "stores", "extractors")
    for kind in kinds:
        if options.kind in (None, kind):
            print(f"{kind}:")
            for entry in getattr(registries, kind).entries():
                print(f"  {entry.name:28} {_summary(getattr(registries, kind).resolve(entry.name))}")
    if options.kind in (None, "configs"):
        print("configs:")
        for name, path in sorted(known_configs().items()):
            print(f"  {name:28} {called(path)}")
    return 0


def _summary(target: object) -> str:
    return (target.__doc__ or "").strip().split("\n")[0]


def schema(options: Namespace) -> int:
    """Write the JSON Schema of the configuration."""
    from shared.wiring.schema import config_schema

    text = json.dumps(config_schema(build_registries()), indent=1, ensure_ascii=False) + "\n"
    if options.out is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{options.out}: cannot be written: {error.strerror}") from error
    return 0


def report(options: Namespace) -> int:
    """Write the HTML report of a past run again."""
    built = _built(options, Wishes(tuple(options.overrides)))
    state = built.store.state(built.around.root)
    if not state.exists():
        raise UsageError(f"{called(state)}: there is no state yet; run the monitor first")
    reader = built.store.open(built.around.root).reader
    chosen = _chosen(reader, built.plan, options.run)
    path = write_page(built, reader, chosen, None if options.out is None else Path(options.out))
    print(f"report of run {chosen.run_id} ({iso(chosen.started_at)[:19]}Z): {called(path)}")
    return 0


def _chosen(reader: RunReader, plan: MonitorPlan, run_id: str | None) -> RunReport:
    """The run of that id, or the monitor's newest with scores; runs without memory have streams of their own."""
    if run_id is not None:
        found = reader.run(run_id)
        if found is None:
            known = ", ".join(run.run_id for run in reader.runs(plan.name, limit=5)) or "none"
            raise UsageError(f"run {run_id!r} is not known. The newest of this monitor: {known}")
        return found
    mine = (run for run in reader.runs(plan.name, limit=200) if run.stream.source_key == plan.stream.source_key)
    newest = next((run for run in mine if run.counts.scored or run.counts.failed_items), None)
    if newest is None:
        raise UsageError(f"monitor {plan.name!r} has no run with scores yet; run it first")
    return newest


def cache(options: Namespace) -> int:
    """Show what the response cache holds and has saved, or clear it."""
    from shared.database.engine import open_database
    from shared.database.responses import SqlResponses

    built = _built(options, Wishes(tuple(options.overrides)))
    state = built.store.state(built.around.root)
    if not state.exists():
        raise UsageError(f"{called(state)}: there is no state yet; run the monitor first")
    database = open_database(state)
    try:
        responses = SqlResponses(database)
        cleared = responses.clear() if options.action == "clear" else None
        stats = responses.stats()
    finally:
        database.close()
    if options.json:
        print(json.dumps({**asdict(stats), "hit_rate": stats.hit_rate, "cleared": cleared}))
    elif cleared is not None:
        print(f"{cleared:,} answers cleared from {called(state)}")
    else:
        print(f"responses in {called(state)}: {stats.entries:,} answers, {stats.bytes / 1e6:,.1f} MB")
        print(f"{stats.hits:,} hits, {stats.misses:,} misses: {stats.hit_rate:.1%}; saved ${stats.saved:,.4f}")
    return 0
