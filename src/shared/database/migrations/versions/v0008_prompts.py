"""Counters by which processes tell each other that a prompt has changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    op.create_table(
        "prompt_generations",
        sa.Column("name", Id, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("state_generation", sa.BigInteger),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("prompt_generations")
