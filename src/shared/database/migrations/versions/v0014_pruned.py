"""When the texts of a run's items were dropped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Moment

revision = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    op.add_column("runs", sa.Column("pruned_at", Moment))


def downgrade() -> None:
    op.drop_column("runs", "pruned_at")
