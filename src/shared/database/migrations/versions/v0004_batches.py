"""The batch lane: questions, the batches that are under way, and what models refuse."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Json, Moment

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.create_table(
        "batch_questions",
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("intent", sa.Text),
        sa.Column("place", sa.Integer),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("taken_at", Moment),
        sa.Column("body", Json),
        sa.Column("outcome", Json),
        sa.PrimaryKeyConstraint("lane", "key"),
    )
    op.create_index("ix_batch_questions_state", "batch_questions", ["lane", "state", "asked_at"])
    op.create_index("ix_batch_questions_intent", "batch_questions", ["intent", "place"])
    op.create_table(
        "batch_jobs",
        sa.Column("intent", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("batch_id", sa.Text),
        sa.Column("questions", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("leased_until", Moment, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("intent"),
    )
    op.create_table(
        "batch_features",
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("feature", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "feature"),
    )


def downgrade() -> None:
    op.drop_table("batch_features")
    op.drop_table("batch_jobs")
    op.drop_table("batch_questions")
