"""Aggregates of scores, and which runs' scores are still to be added to them: those of all runs so far."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Json, Moment

revision = "0013"
down_revision: str | None = "0012"

_KEY = ("source_key", "monitor_key", "width", "start", "label", "metric_digest", "segment", "stratum")


def upgrade() -> None:
    op.create_table(
        "score_aggregates",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("start", Moment, nullable=False),
        *(sa.Column(name, Id, nullable=False) for name in _KEY[4:]),
        sa.Column("metric_version", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("thinned", sa.Boolean, nullable=False),
        sa.Column("two_valued", sa.Boolean, nullable=False),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        *(sa.Column(name, Json) for name in ("sums", "verdicts", "sketch")),
        sa.PrimaryKeyConstraint(*_KEY),
        sqlite_with_rowid=False,
    )
    op.add_column("runs", sa.Column("aggregated", sa.Boolean))
    op.execute(sa.text("UPDATE runs SET aggregated = false"))


def downgrade() -> None:
    op.drop_column("runs", "aggregated")
    op.drop_table("score_aggregates")
