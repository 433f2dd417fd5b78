"""`trueline tables`: create, check or upgrade the tables that `push_to_db` writes."""

from __future__ import annotations

import json
import os
from argparse import Namespace

from shared.core.errors import UsageError
from shared.database.engine.database import open_as_it_is
from shared.database.evaluation.table_setup import create_tables, inspect_tables
from shared.wiring.build.build_context import LoadedConfig
from shared.wiring.build.sink_database import database_target, target_address
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.config.checker import Checker

_STATES = {
    "absent": "there are none; a run with push_to_db creates them, and so does `trueline tables create`",
    "ready": "up to date",
    "older": "of an older layout; `trueline tables create` upgrades them and keeps every row and column",
    "foreign": "not ours",
}


def main(options: Namespace) -> int:
    """Check or create the tables and print their state; 1 when they are not ready."""
    config = None if options.config is None else open_monitor(options).config
    database = open_as_it_is(_find_address(config, options.url))
    try:
        done = create_tables(database) if options.action == "create" else ""
        found = inspect_tables(database)
    finally:
        database.close()
    if options.json:
        print(json.dumps({"database": database.place, "state": found.state, "why": found.why, "done": done}))
    else:
        state = f"{_STATES[found.state]}{': ' + found.why if found.why else ''}"
        print(f"tables in {database.place}: {done or state}")
    return 0 if found.state == "ready" else 1


def _find_address(config: LoadedConfig | None, url: str | None) -> str:
    """Where the tables are: the URL, else the configuration's target, else the variable DATABASE_URL.

    Raises:
        UsageError: when there is none of them.
    """
    found = url
    if found is None and config is not None:
        target = database_target(config.values.publishing, Checker(config.document))
        found = target_address(target, config.values.scored_store, config.environment)
    found = found or os.environ.get("DATABASE_URL")
    if not found:
        raise UsageError("tables: which database? Give a configuration, --url, or the variable DATABASE_URL")
    return found
