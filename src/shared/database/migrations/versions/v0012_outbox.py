"""Messages on their way to sinks, and what became of them in a run.

A batch that a crash of an older version left open loses its id: its items are packed anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Json, Moment, Prose

revision = "0012"
down_revision: str | None = "0011"

_OPEN = "state IN ('pending', 'sent', 'failed')"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("sink", Id, nullable=False),
        sa.Column("key", Id, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("batch_id", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try_at", Moment, nullable=False),
        sa.Column("stored_at", Moment, nullable=False),
        sa.Column("sent_at", Moment),
        sa.Column("settled_at", Moment),
        sa.Column("owner", sa.Text),
        sa.Column("leased_until", Moment),
        sa.Column("reason", Prose, nullable=False),
        sa.Column("body", Json),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "item_id", "sink", "key"),
    )
    op.create_index(
        "ix_outbox_open",
        "outbox",
        ["source_key", "monitor_key", "sink", "state", "next_try_at"],
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )
    op.add_column("runs", sa.Column("published", Json))
    op.execute(sa.text("UPDATE decisions SET batch_id = NULL WHERE state = 'scored'"))


def downgrade() -> None:
    op.drop_column("runs", "published")
    op.drop_index("ix_outbox_open", "outbox")
    op.drop_table("outbox")
