"""The table of messages on their way to sinks (`core/state/outbox.py`)."""

from __future__ import annotations

import sqlalchemy as sa

from shared.database.schema.column_types import Id, Json, Moment, Prose
from shared.database.schema.tables import metadata

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
    sa.Column("sink", Id, primary_key=True),
    sa.Column("key", Id, primary_key=True),
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
)
"""A message by item, sink and key; a whole batch (`whole`) has its id as item and as key, and as body its items' ids.
The body is empty once it is verified; a failed row keeps it, so that it may be tried again. `reason` says why a row is
skipped or failed, or why the last try was not taken.
"""

OPEN = sa.literal_column("state", sa.Text).in_(
    [sa.literal_column(f"'{each}'") for each in ("pending", "sent", "failed")]
)
"""Not at its good end; a literal text, the same as in the index: SQLite uses a partial index for nothing else."""

sa.Index(
    "ix_outbox_open",
    outbox.c.source_key,
    outbox.c.monitor_key,
    outbox.c.sink,
    outbox.c.state,
    outbox.c.next_try_at,
    sqlite_where=OPEN,
    postgresql_where=OPEN,
)
