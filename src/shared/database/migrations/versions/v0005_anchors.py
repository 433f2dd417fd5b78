"""The anchor set: when it was judged, and what was said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Moment, Prose

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    op.create_table(
        "anchor_passes",
        sa.Column("pass_id", sa.Text, nullable=False),
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("label", Id, nullable=False),
        sa.Column("metric_digest", Id, nullable=False),
        sa.Column("class_name", sa.Text, nullable=False),
        sa.Column("metric_version", sa.Text, nullable=False),
        sa.Column("anchors", sa.Text, nullable=False),
        sa.Column("judged_at", Moment, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("cost", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.PrimaryKeyConstraint("pass_id"),
    )
    op.create_index("ix_anchor_passes_stream", "anchor_passes", ["source_key", "monitor_key", "label", "judged_at"])
    op.create_table(
        "anchor_verdicts",
        sa.Column("pass_id", sa.Text, nullable=False),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("passed", sa.Boolean),
        sa.Column("people", sa.Double),
        sa.Column("failure", Prose, nullable=False),
        sa.PrimaryKeyConstraint("pass_id", "item_id", "repeat"),
    )


def downgrade() -> None:
    op.drop_table("anchor_verdicts")
    op.drop_table("anchor_passes")
