"""Where the messages of alerts stand in Slack."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Moment

revision = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    op.create_table(
        "sent_messages",
        *(sa.Column(name, Id, nullable=False) for name in ("place", "notification")),
        sa.Column("begun_at", Moment, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("channel", "ts")),
        sa.PrimaryKeyConstraint("place", "notification"),
    )


def downgrade() -> None:
    op.drop_table("sent_messages")
