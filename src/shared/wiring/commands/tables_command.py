"""The command `tables`: make, check or bring up to date the tables that `push_to_db` writes."""

from __future__ import annotations

import json
import os

from shared.core.errors import UsageError
from shared.database.engine.database import open_as_it_is
from shared.database.evaluation.table_setup import create, look
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.sink_database import target_address
from shared.wiring.config.monitor_config import DatabaseTarget

_SAID = {
    "absent": "there are none; a run with push_to_db makes them, and so does `trueline tables create`",
    "ready": "there, as they should be",
    "older": "of an older layout; `trueline tables create` keeps every row and column",
    "foreign": "not ours",
}


def tables_at(built: BuiltMonitor | None, url: str | None) -> str:
    """Where the tables are: the URL, else the configuration's target, else the variable DATABASE_URL.

    Raises:
        UsageError: when there is none of them.
    """
    found = url
    if found is None and built is not None:
        target = built.config.values.publishing.database or DatabaseTarget()
        found = target_address(target, built.config.values.scored_store, built.config.environment)
    found = found or os.environ.get("DATABASE_URL")
    if not found:
        raise UsageError("tables: which database? Give a configuration, --url, or the variable DATABASE_URL")
    return found


def print_tables(address: str, action: str, as_json: bool) -> int:
    """Check or create the tables and say what came of it; 1 when a check finds them not ready."""
    database = open_as_it_is(address)
    try:
        done = create(database) if action == "create" else ""
        found = look(database)
    finally:
        database.close()
    said = done or f"{_SAID[found.state]}{': ' + found.why if found.why else ''}"
    if as_json:
        print(json.dumps({"database": database.place, "state": found.state, "why": found.why, "done": done}))
    else:
        print(f"tables in {database.place}: {said}")
    return 0 if found.state == "ready" else 1
