"""The first schema: runs, items, decisions, scores, failures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Json, Moment, Prose

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    _runs()
    _items()
    _decisions()
    _scores()
    _failures()


def downgrade() -> None:
    op.drop_table("failures")
    op.drop_table("scores")
    op.drop_table("decisions")
    op.drop_table("items")
    op.drop_table("runs")


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", Id, nullable=False),
        sa.Column("monitor", sa.Text, nullable=False),
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("config_digest", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("finished_at", Moment),
        sa.Column("counts", Json, nullable=False),
        sa.Column("estimates", Json, nullable=False),
        sa.Column("notes", Json, nullable=False),
        sa.Column("broken", Json, nullable=False),
        sa.Column("failure_kinds", Json, nullable=False),
        sa.Column("cost", sa.Double),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("publishing", Json, nullable=False),
        sa.Column("config_text", Prose, nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("stored_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "item_id"),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("drawn", sa.Boolean, nullable=False),
        sa.Column("probability", sa.Double),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("stratum", Id, nullable=False),
        sa.Column("decided_at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_applicable", Json),
        sa.Column("batch_id", Id),
        sa.Column("marked_at", Moment),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "item_id"),
        sqlite_with_rowid=False,
    )
    where = sa.text("state = 'scored'")
    op.create_index(
        "ix_decisions_finished",
        "decisions",
        ["source_key", "monitor_key", "state", "batch_id", "item_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
    where = sa.text("state IN ('drawn', 'failed')")
    op.create_index(
        "ix_decisions_waiting",
        "decisions",
        ["source_key", "monitor_key", "decided_at", "item_id"],
        sqlite_where=where,
        postgresql_where=where,
    )


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("label", Id, nullable=False),
        sa.Column("metric_digest", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("class_name", sa.Text, nullable=False),
        sa.Column("metric_version", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("passed", sa.Boolean),
        sa.Column("threshold", sa.Double),
        sa.Column("explanation", Prose, nullable=False),
        sa.Column("signals", Json),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("weight", sa.Double),
        sa.Column("cost", sa.Double),
        sa.Column("model", sa.Text),
        sa.Column("scored_at", Moment, nullable=False),
        sa.Column("item_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "item_id", "label", "metric_digest"),
    )
    op.create_index("ix_scores_run", "scores", ["run_id", "item_id"])
    op.create_index("ix_scores_time", "scores", ["source_key", "monitor_key", "item_at"])


def _failures() -> None:
    op.create_table(
        "failures",
        sa.Column("source_key", Id, nullable=False),
        sa.Column("monitor_key", Id, nullable=False),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("label", Id, nullable=False),
        sa.Column("metric_digest", Id, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("class_name", sa.Text, nullable=False),
        sa.Column("metric_version", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("message", Prose, nullable=False),
        sa.Column("failed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "item_id", "label", "metric_digest", "attempt"),
    )
    op.create_index("ix_failures_run", "failures", ["run_id", "item_id"])
