"""Scores that were judged by chance: what a cheaper metric said, and the probability of being judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.add_column("scores", sa.Column("proxy", sa.Double))
    op.add_column("scores", sa.Column("chance", sa.Double))


def downgrade() -> None:
    op.drop_column("scores", "chance")
    op.drop_column("scores", "proxy")
