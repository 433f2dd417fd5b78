"""The response cache: answers of models, and how often they were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Json, Moment

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("cost", sa.Double),
        sa.Column("stored_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_responses_stored_at", "responses", ["stored_at"])
    op.create_table(
        "response_use",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("response_use")
    op.drop_table("responses")
