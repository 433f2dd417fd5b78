"""The sink of `push_to_db`, from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from shared.core.errors import StoreError
from shared.core.ports import Sink
from shared.database.engine.database import open_as_it_is, shown_place
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import DatabaseTarget, MonitorConfig
from shared.wiring.config.settings import RunEnvironment


def database_sink(config: MonitorConfig, checker: Checker, around: RunEnvironment) -> Sink | None:
    """The sink, when rows are to be pushed; nothing is connected yet. Mistakes go to the checker."""
    publishing = config.publishing
    if not publishing.push_to_db:
        return None
    target = publishing.database or DatabaseTarget()
    address = target_address(target, config.scored_store, around)
    if address is None:
        checker.problem(
            ("publishing", "push_to_db"),
            "found true, but no database to push to; set publishing.database.connection_string (such as"
            " ${DATABASE_URL}, or the path of a SQLite file), or the variable DATABASE_URL",
        )
        return None
    settings = around.settings
    if (settings.safe_mode or config.privacy.always) and not settings.privacy_key.get_secret_value():
        checker.problem(
            ("publishing", "push_to_db"),
            "ids that hold personal data are replaced (SAFE_MODE), by a key of each process: the same item would"
            " have other rows in every run. Set PRIVACY_KEY to a secret of your own",
        )
    try:
        shown_place(address)
    except StoreError as error:
        checker.problem(("publishing", "database", "connection_string"), str(error))
        return None
    from shared.database.evaluation.database_sink import DatabaseSink  # late: only this choice needs it

    # One name wherever it is: what waits for it waits on when its host or user changes.
    return DatabaseSink("database", partial(open_as_it_is, address), target.on_conflict, target.chunk_size)


def target_address(target: DatabaseTarget, store: Mapping[str, Any], around: RunEnvironment) -> str | None:
    """Where rows are pushed to: the block's own database, else the state's when that is a server, else the variable
    DATABASE_URL; None when there is none of them. A relative path starts from the project's root.
    """
    given = None if target.connection_string is None else target.connection_string.get_secret_value()
    if given is None and store.get("type") == "postgres" and isinstance(store.get("url"), str):
        given = store["url"]
    given = given or around.variables.get("DATABASE_URL")
    if not given or "://" in given:
        return given or None
    return str(around.root / Path(given))
