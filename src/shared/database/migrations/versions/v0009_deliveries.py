"""Deliveries of Langfuse's webhook."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Json, Moment

revision = "0009"
down_revision: str | None = "0008"

_TO_TELL = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", Id, nullable=False),
        sa.Column("prompt", Id, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger),
        sa.Column("received_at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("channels", Json, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", Moment),
        sa.Column("body", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_deliveries_received", "deliveries", ["received_at"])
    op.create_index(
        "ix_deliveries_waiting", "deliveries", ["next_at"], sqlite_where=_TO_TELL, postgresql_where=_TO_TELL
    )


def downgrade() -> None:
    op.drop_table("deliveries")
