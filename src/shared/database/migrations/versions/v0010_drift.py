"""What drift detectors have gathered, with a version by which two runs do not overwrite one another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Json

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.create_table(
        "drift_state",
        *(sa.Column(name, Id, nullable=False) for name in ("source_key", "monitor_key", "label", "detector")),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", Json, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "label", "detector"),
    )


def downgrade() -> None:
    op.drop_table("drift_state")
