"""The table of drift detectors (`core/state/drift_states.py`), beside those of `tables.py`."""

from __future__ import annotations

import sqlalchemy as sa

from shared.database.schema.column_types import Id, Json
from shared.database.schema.tables import metadata

drift_state = sa.Table(
    "drift_state",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("label", Id, primary_key=True),
    sa.Column("detector", Id, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("state", Json, nullable=False),
)
"""What a drift detector has gathered about one label of a stream; `version` counts its changes."""
