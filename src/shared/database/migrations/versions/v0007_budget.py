"""How much of its budget a run has used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Json

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("budget", Json))


def downgrade() -> None:
    op.drop_column("runs", "budget")
