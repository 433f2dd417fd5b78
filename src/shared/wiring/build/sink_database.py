"""The sink `database`, which `push_to_db` asks for too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from shared.core.errors import StoreError
from shared.core.ports import Sink
from shared.database.engine.database import format_place, open_as_it_is
from shared.wiring.build.build_context import SinkBuildContext, SinkBuilder
from shared.wiring.build.sink_entries import first_entry, sink_entries
from shared.wiring.config.checker import Checker
from shared.wiring.config.env_settings import RunEnvironment
from shared.wiring.config.monitor_config import DatabaseTarget, Publishing


def build_database_sink(context: SinkBuildContext) -> Sink | None:
    """The sink, not connected yet."""
    build = context.build
    target = build.checker.model(DatabaseTarget, dict(context.entry.given), context.entry.where)
    if target is None:
        return None
    address = target_address(target, build.config.scored_store, build.around)
    if address is None:
        context.problem(
            "found true, but no database to push to; set publishing.database.connection_string (such as"
            " ${DATABASE_URL}, or the path of a SQLite file), or the variable DATABASE_URL"
        )
        return None
    settings = build.around.settings
    if (settings.safe_mode or build.config.privacy.always) and not settings.privacy_key.get_secret_value():
        context.problem(
            "ids that hold personal data are replaced (SAFE_MODE), by a key of each process: the same item would"
            " have other rows in every run. Set PRIVACY_KEY to a secret of your own"
        )
    try:
        format_place(address)
    except StoreError as error:
        context.problem(str(error), "connection_string")
        return None
    from shared.database.evaluation.database_sink import DatabaseSink  # late: only this choice needs it

    # One name wherever it is: what waits for it waits on when its host or user changes.
    return DatabaseSink("database", partial(open_as_it_is, address), target.on_conflict, target.chunk_size)


def database_target(publishing: Publishing, checker: Checker) -> DatabaseTarget:
    """The database that a configuration without mistakes publishes to; by default one that says nothing."""
    entry = first_entry(sink_entries(publishing, checker), "database")
    if entry is not None:
        return DatabaseTarget.model_validate(dict(entry.given))
    return publishing.database or DatabaseTarget()


def target_address(target: DatabaseTarget, store: Mapping[str, object], around: RunEnvironment) -> str | None:
    """Where rows are pushed to: the block's own database, else the state's when that is a server, else the variable
    DATABASE_URL; None when there is none of them. A relative path starts from the project's root.
    """
    given = None if target.connection_string is None else target.connection_string.get_secret_value()
    url = store.get("url")
    if given is None and store.get("type") == "postgres" and isinstance(url, str):
        given = url
    given = given or around.variables.get("DATABASE_URL")
    if not given or "://" in given:
        return given or None
    return str(around.root / Path(given))


DATABASE_SINK = SinkBuilder(
    DatabaseTarget, build_database_sink, "Scores as rows of the tables evaluation_dataset and evaluation_results."
)
