"""The tables of runs that share a stream: who is at work, whose draws are reported, and what was passed over."""

from __future__ import annotations

import sqlalchemy as sa

from shared.database.schema.column_types import Id, Moment, Prose
from shared.database.schema.tables import metadata

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker", Id, primary_key=True),
    sa.Column("source_key", Id, nullable=False),
    sa.Column("monitor_key", Id, nullable=False),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("leased_until", Moment, nullable=False),
)
"""Runs that are at work. An item whose `claimed_by` is set has its worker here: who goes, or is found dead, frees its
items in the same transaction.
"""

draws = sa.Table(
    "draws",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("run_id", Id, primary_key=True),
    sa.Column("drawn", sa.Integer, nullable=False),
    sa.Column("drawn_at", Moment, nullable=False),
    sa.Column("reported_by", Id),
)
"""Draws by the run that made them, with how many items they drew and the run that has reported their estimates."""

passed_over = sa.Table(
    "passed_over",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
    sa.Column("reason", Id, primary_key=True),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("detail", Prose, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
"""Why something was left out that no decision tells of (`core/state/item_history.py`, `SkippedItem`), and by which run
last.
"""
