"""Several runs share one stream: who is at work, who has which item, whose draws are reported, what was passed over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from shared.database.schema.column_types import Id, Moment, Prose

revision = "0011"
down_revision: str | None = "0010"


def _stream() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("source_key", Id, nullable=False), sa.Column("monitor_key", Id, nullable=False)


# Draws that no run has finished yet; the others have been reported.
_OPEN = """
INSERT INTO draws (source_key, monitor_key, run_id, drawn, drawn_at)
SELECT source_key, monitor_key, run_id, count(*), min(decided_at) FROM decisions d
WHERE drawn AND EXISTS (
    SELECT 1 FROM decisions o WHERE o.source_key = d.source_key AND o.monitor_key = d.monitor_key
    AND o.run_id = d.run_id AND o.state = 'drawn'
)
GROUP BY source_key, monitor_key, run_id
"""


def upgrade() -> None:
    op.add_column("decisions", sa.Column("claimed_by", Id))
    op.add_column("decisions", sa.Column("tried_at", Moment))
    op.create_table(
        "workers",
        sa.Column("worker", Id, nullable=False),
        *_stream(),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.Column("leased_until", Moment, nullable=False),
        sa.PrimaryKeyConstraint("worker"),
    )
    op.create_table(
        "draws",
        *_stream(),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("drawn", sa.Integer, nullable=False),
        sa.Column("drawn_at", Moment, nullable=False),
        sa.Column("reported_by", Id),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "run_id"),
    )
    op.create_table(
        "passed_over",
        *_stream(),
        sa.Column("item_id", Id, nullable=False),
        sa.Column("reason", Id, nullable=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("detail", Prose, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("source_key", "monitor_key", "item_id", "reason"),
    )
    op.execute(_OPEN)


def downgrade() -> None:
    for name in ("passed_over", "draws", "workers"):
        op.drop_table(name)
    for name in ("tried_at", "claimed_by"):
        op.drop_column("decisions", name)
