"""The commands behind the command line. Each takes the parsed options and answers with an exit code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

from shared.core.best_effort import attempt_async
from shared.core.clock import iso
from shared.core.errors import StoreError, UsageError
from shared.core.state.outbox import MessageSink
from shared.database.engine.database import state_at
from shared.report.terminal.run_summary import as_json, show
from shared.report.text.formatting import line
from shared.report.text.result_words import STATUS
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions, build_monitor
from shared.wiring.build.redacting_sinks import RedactingMessages, RedactingSink
from shared.wiring.build.sink_langfuse import Connecting
from shared.wiring.commands.check import check_json, check_text
from shared.wiring.commands.report_page import (
    StoredRun,
    find_newest_run,
    redact_for_display,
    try_write_page,
    write_page,
)
from shared.wiring.config.find_config import display_path, find_config, known_configs
from shared.wiring.config.registries import build_registries
from shared.wiring.run.job import run_until_done
from shared.wiring.run.judge_drift import try_judge_views
from shared.wiring.run.progress_bar import choose_progress_display, metrics_print_to_stderr
from shared.wiring.run.session import forecast_lines, run_once

EXIT_CODES = {"too_many_failures": 3, "over_budget": 4, "failed": 1, "unpublished": 1}


def run(options: Namespace) -> int:
    """Run a monitor once, write its HTML report and print the summary."""
    asked = (options.limit, not options.no_dedup, options.dry_run, options.first_run)
    built = _built(options, RunOptions(tuple(options.overrides), *asked))
    quiet = options.quiet or not built.config.values.evaluation.show_progress
    with metrics_print_to_stderr(), choose_progress_display(quiet) as progress:
        result = run_until_done(run_once(built, progress))
    report = redact_for_display(built, result.report)
    stored, page = StoredRun(result.reader, report), None
    if not options.dry_run and (report.counts.scored or report.counts.failed_items):
        stored = replace(stored, judges=try_judge_views(built, result.reader, result.anchors, report.stream))
        page, report = try_write_page(built, stored)
    places = {} if page is None else {"report": display_path(page)}
    if not options.dry_run:
        places["state"] = str(built.state)
    if options.json:
        print(json.dumps(as_json(report) | {"places": places}, ensure_ascii=False, indent=2))
    elif not options.quiet:
        show(report, sys.stdout, places, judges=stored.judges)
    elif report.status in EXIT_CODES:  # the first note says why
        why = line(": ".join([STATUS[report.status][1], *report.notes[:1]]), 600)
        print(f"trueline: {why}", file=sys.stderr)
    return EXIT_CODES.get(report.status, 0)


def _built(options: Namespace, wishes: RunOptions) -> BuiltMonitor:
    """The monitor of the command line."""
    built = build_monitor(find_config(options.config), wishes)
    options.voice.use(built.redactor)
    return built


def check(options: Namespace) -> int:
    """Validate a configuration and explain what it would do."""
    built = _built(options, RunOptions(tuple(options.overrides)))
    with metrics_print_to_stderr():
        costs = run_until_done(forecast_lines(built))
    if options.json:
        print(json.dumps(check_json(built, costs), ensure_ascii=False, indent=2))
    else:
        print(check_text(built, costs))
    return _connected(built) if options.connect else 0


def _connected(built: BuiltMonitor) -> int:
    """Ask the state how far it is, models for a word, source and sinks what their servers can do, and say it; 1 when
    one does not answer.
    """
    there = _state_reached(built)
    found = built.models.models.connections()
    for alias, wrong in found.items():
        print(f"model {alias!r}: {wrong or 'answers'}", file=sys.stderr if wrong else sys.stdout)
    failed = run_until_done(_all_reached(built))
    return 0 if there and not any(found.values()) and not failed else 1


def _state_reached(built: BuiltMonitor) -> bool:
    """Say how far the state database is; whether it can be used."""
    try:
        found = state_at(built.state.address)
    except StoreError as error:
        print(f"state: {error}", file=sys.stderr)
        return False
    print(f"state {built.state}: {found}")
    return True


async def _all_reached(built: BuiltMonitor) -> bool:
    """Ask the source and every sink that can be asked; whether one of them failed."""
    source = built.plan.source
    failed = isinstance(source, Connecting) and not await _reached(f"source {source.key!r}", source)
    for outlet in built.sinks:
        sink = outlet.sink.inner if isinstance(outlet.sink, (RedactingMessages, RedactingSink)) else outlet.sink
        if isinstance(sink, Connecting):
            failed = not await _reached(f"sink {outlet.sink.name!r}", sink) or failed
        if isinstance(sink, MessageSink):
            await sink.aclose()
    return failed


async def _reached(which: str, server: Connecting) -> bool:
    """Ask what it finds, and say it; whether it could be asked."""
    found = await attempt_async(server.connect())
    wrong = isinstance(found, Exception)
    print(f"{which}: {found}", file=sys.stderr if wrong else sys.stdout)
    return not wrong


def list(options: Namespace) -> int:
    """Show everything that can be chosen by name."""
    registries = build_registries()
    kinds = ("sources", "sampling", "models", "metrics", "stores", "extractors", "labels")
    for kind in kinds:
        if options.kind in (None, kind):
            print(f"{kind}:")
            for entry in getattr(registries, kind).entries():
                print(f"  {entry.name:28} {_summary(getattr(registries, kind).resolve(entry.name))}")
    if options.kind in (None, "configs"):
        print("configs:")
        for name, path in sorted(known_configs().items()):
            print(f"  {name:28} {display_path(path)}")
    return 0


def _summary(target: object) -> str:
    return (target.__doc__ or "").strip().split("\n")[0]


def schema(options: Namespace) -> int:
    """Write the JSON Schema of the configuration."""
    from shared.wiring.build.json_schema import config_schema

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
    built = _built(options, RunOptions(tuple(options.overrides)))
    if not built.state.exists():
        raise UsageError(f"{built.state}: there is no state yet; run the monitor first")
    opened = built.state.open_to_read()
    chosen = find_newest_run(opened.reader, built.plan, options.run)
    stored = StoredRun(opened.reader, chosen, try_judge_views(built, opened.reader, opened.anchors, chosen.stream))
    path = write_page(built, stored, None if options.out is None else Path(options.out))
    print(f"report of run {chosen.run_id} ({iso(chosen.started_at)[:19]}Z): {display_path(path)}")
    return 0


def judge_report(options: Namespace) -> int:
    """Say how far each judge can be trusted, by people's labels and the anchor set."""
    from shared.wiring.commands.judge_report import print_judges  # late: only this command needs it

    return print_judges(_built(options, RunOptions(tuple(options.overrides))), options.json)


def runs(options: Namespace) -> int:
    """List past runs, or show one."""
    from shared.wiring.commands.runs import print_run, print_runs  # late: only this command needs it

    built = _built(options, RunOptions(tuple(options.overrides)))
    if options.show is None:
        return print_runs(built, options.limit, options.json)
    return print_run(built, options.id, options.json)


def compare(options: Namespace) -> int:
    """Compare two runs, item by item where both scored the same."""
    from shared.wiring.commands.runs import print_comparison  # late, as above

    built = _built(options, RunOptions(tuple(options.overrides)))
    return print_comparison(built, options.run_a, options.run_b, options.json)


def explain(options: Namespace) -> int:
    """Tell the whole story of one item."""
    from shared.wiring.commands.explain import print_story  # late, as above

    return print_story(_built(options, RunOptions(tuple(options.overrides))), options.item, options.json)


def publish(options: Namespace) -> int:
    """Publish what is left of a monitor's scores."""
    from shared.wiring.commands.publish import publish as publish_left  # late, as above

    if not (options.pending or options.failed or options.list):
        raise UsageError("publish: say what: --pending sends what waits, --failed tries failed ones too, --list shows")
    built = _built(options, RunOptions(tuple(options.overrides)))
    return publish_left(built, options.failed, options.list, options.json)


def tables(options: Namespace) -> int:
    """Make, or check, the tables that push_to_db writes."""
    from shared.wiring.commands.tables_command import print_tables, tables_at  # late, as above

    built = None if options.config is None else _built(options, RunOptions(tuple(options.overrides)))
    return print_tables(tables_at(built, options.url), options.action, options.json)


def cache(options: Namespace) -> int:
    """Show what the response cache holds and has saved, or clear it."""
    from shared.database.engine.database import open_database, read_database
    from shared.database.stores.sql_responses import SqlResponses

    built = _built(options, RunOptions(tuple(options.overrides)))
    if not built.state.exists():
        raise UsageError(f"{built.state}: there is no state yet; run the monitor first")
    opening = open_database if options.action == "clear" else read_database
    database = opening(built.state.address)
    try:
        responses = SqlResponses(database)
        cleared = responses.clear() if options.action == "clear" else None
        stats = responses.stats()
    finally:
        database.close()
    where = built.state
    if options.json:
        print(json.dumps({**asdict(stats), "hit_rate": stats.hit_rate, "cleared": cleared}))
    elif cleared is not None:
        print(f"{cleared:,} answers cleared from {where}")
    else:
        print(f"responses in {where}: {stats.entries:,} answers, {stats.bytes / 1e6:,.1f} MB")
        print(f"{stats.hits:,} hits, {stats.misses:,} misses: {stats.hit_rate:.1%}; saved ${stats.saved:,.4f}")
    return 0
