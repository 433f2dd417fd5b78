"""What a run asked of models, by metric and model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Json

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.add_column("runs", sa.Column("usage", Json))


def downgrade() -> None:
    op.drop_column("runs", "usage")
