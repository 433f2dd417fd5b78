"""What Alembic runs to apply revisions on the connection it was handed (see `database/engine/migrate.py`)."""

from __future__ import annotations

from alembic import context

from shared.database.schema.drift_tables import drift_state
from shared.database.schema.outbox_tables import outbox

ELSEWHERE = (drift_state, outbox)
"""Tables that stand in files of their own; being imported puts them beside the others."""


def migrate() -> None:
    """Apply the revisions in the transaction that the caller began."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=ELSEWHERE[0].metadata,
        transactional_ddl=True,  # SQLite can; without it a kill in the middle would leave half a schema
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name Alembic loads this file under; imported under any other it does nothing
    migrate()
