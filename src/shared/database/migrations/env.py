"""What Alembic runs to apply revisions on the connection it was handed (see `database/engine/migrate.py`)."""

from __future__ import annotations

from alembic import context

from shared.database.schema.store_tables import deliveries  # the last file of tables, so that all are there


def migrate() -> None:
    """Apply the revisions in the transaction that the caller began."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=deliveries.metadata,
        transactional_ddl=True,  # SQLite can; without it a kill in the middle would leave half a schema
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name Alembic loads this file under; imported under any other it does nothing
    migrate()
