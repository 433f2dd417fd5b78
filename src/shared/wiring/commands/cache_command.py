"""`trueline cache`: what the response cache holds and has saved."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict

from shared.database.engine.database import open_database, read_database
from shared.database.stores.sql_responses import SqlResponses
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import require_state


def main(options: Namespace) -> int:
    """Print what the response cache holds and has saved, or clear it."""
    state = open_monitor(options).state
    require_state(state)
    database = open_database(state.address) if options.action == "clear" else read_database(state.address)
    try:
        responses = SqlResponses(database)
        cleared = responses.clear() if options.action == "clear" else None
        stats = responses.stats()
    finally:
        database.close()
    if options.json:
        print(json.dumps({**asdict(stats), "hit_rate": stats.hit_rate, "cleared": cleared}))
    elif cleared is not None:
        print(f"{cleared:,} answers cleared from {state}")
    else:
        print(f"responses in {state}: {stats.entries:,} answers, {stats.bytes / 1e6:,.1f} MB")
        print(f"{stats.hits:,} hits, {stats.misses:,} misses: {stats.hit_rate:.1%}; saved ${stats.saved:,.4f}")
    return 0
