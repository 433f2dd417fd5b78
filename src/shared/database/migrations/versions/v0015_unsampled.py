"""Items that were not sampled, as digests by the page. What is in `decisions` of them so far stays there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Moment

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    op.create_table(
        "unsampled_groups",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("probability", sa.Double),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("stratum", Id, nullable=False),
        sa.Column("decided_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unsampled_pages",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("first", Id, nullable=False),
        sa.Column("entries", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "slot", "first"),
    )
    if op.get_bind().dialect.name == "postgresql":  # digests cannot be compressed
        op.execute(sa.text("ALTER TABLE unsampled_pages ALTER COLUMN entries SET STORAGE EXTERNAL"))


def downgrade() -> None:
    op.drop_table("unsampled_pages")
    op.drop_table("unsampled_groups")
