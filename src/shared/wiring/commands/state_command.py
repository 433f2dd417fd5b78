"""`trueline state`: what the state of a monitor occupies; build its aggregates again, or drop what is old."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict

from shared.core.clock import utc_now
from shared.core.errors import UsageError
from shared.database.engine.database import open_database
from shared.database.stores.sql_retention import Pruned, Retention, TableSize, read_sizes
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import open_stored_state, print_json, require_state
from shared.wiring.config.retention_config import parse_keep


def main(options: Namespace) -> int:
    """Print sizes, rebuild or prune."""
    if options.action != "prune" and (options.keep or options.dry_run):
        raise UsageError("--keep and --dry-run belong to `trueline state prune`")
    built = open_monitor(options)
    if options.action == "rebuild":
        return _rebuild(built)
    return _prune(built, options) if options.action == "prune" else _print_sizes(built, options.json)


def _print_sizes(built: BuiltMonitor, in_json: bool) -> int:
    with open_stored_state(built.state) as stores:
        sizes = read_sizes(stores.database)
    if in_json:
        print_json({"state": str(built.state), "tables": [asdict(each) for each in sizes]})
        return 0
    whole = sum(each.bytes or 0 for each in sizes)
    print(f"{built.state}: {whole / 1e6:,.1f} MB in tables")
    for each in sizes:
        print(_size_line(each))
    return 0


def _size_line(size: TableSize) -> str:
    used = "" if size.bytes is None else f"{size.bytes / 1e6:,.1f} MB"
    return f"  {size.table:20}{size.rows:>14,} rows{used:>14}"


def _rebuild(built: BuiltMonitor) -> int:
    def show(left: int) -> None:
        if sys.stderr.isatty() or left % 1000 == 0:
            print(f"\r{left:,} runs left ", end="", file=sys.stderr, flush=True)

    require_state(built.state)
    stores = built.state.open()
    try:
        stores.state.aggregates.rebuild(built.plan.stream, show)
    finally:
        stores.close()
    print(f"aggregates of {built.plan.name} built again in {built.state}")
    return 0


def _prune(built: BuiltMonitor, options: Namespace) -> int:
    retention = built.config.values.retention
    keep = options.keep or (retention.keep if retention is not None else None)
    if keep is None:
        raise UsageError("how much is kept? Give --keep 90d, or `retention: {keep: 90d}` in the configuration")
    try:
        age = parse_keep(keep)
    except ValueError as error:
        raise UsageError(f"--keep: {error}") from error
    require_state(built.state)
    database, now = open_database(built.state.address), utc_now()
    try:
        found = Retention(database, built.plan.stream, now - age, built.state.group_by).prune(now, options.dry_run)
    finally:
        database.close()
    if options.json:
        print_json({"state": str(built.state), "keep": keep, "dry_run": options.dry_run, **asdict(found)})
    else:
        print(_pruned_text(found, keep, options.dry_run))
    return 0


def _pruned_text(found: Pruned, keep: str, dry_run: bool) -> str:
    did = "would be dropped" if dry_run else "dropped"
    return (
        f"older than {keep}, {did}: the texts of {found.items:,} items of {found.runs:,} runs, {found.messages:,} "
        f"finished messages, {found.skipped:,} records of skipped items. Scores, decisions and aggregates stay"
    )
