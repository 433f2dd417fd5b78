"""Which notes of a run warn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Json

revision = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    op.add_column("runs", sa.Column("warnings", Json))


def downgrade() -> None:
    op.drop_column("runs", "warnings")
