"""Bringing a database to the newest schema with Alembic, run by the program itself: no ini file, no command."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent.parent / "migrations"


def known_revisions() -> set[str]:
    """Every revision that this version of the program has."""
    return {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Apply the missing revisions inside the transaction that the connection is in."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
