"""The tables of the stores that are no part of a run: cache, batches, anchors, prompts, deliveries, drift."""

from __future__ import annotations

import sqlalchemy as sa

from shared.database.schema.column_types import Id, Json, Moment, Prose, columns
from shared.database.schema.tables import metadata

responses = sa.Table(
    "responses",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("payload", Json, nullable=False),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("cost", sa.Double),
    sa.Column("stored_at", Moment, nullable=False),
    sa.Index("ix_responses_stored_at", "stored_at"),
)
"""Answers of models by the digest of the question; `cost` is what the answer cost, in US dollars."""

response_use = sa.Table(
    "response_use",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)
"""Running totals of the response cache: `hits`, `misses`, and `saved` in US dollars."""

batch_questions = sa.Table(
    "batch_questions",
    metadata,
    *columns(sa.Text, "lane", "key", primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("intent", sa.Text),
    sa.Column("place", sa.Integer),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("taken_at", Moment),
    sa.Column("body", Json),  # long ones last: SQLite reads through them to what stands behind
    sa.Column("outcome", Json),
    sa.Index("ix_batch_questions_state", "lane", "state", "asked_at"),
    sa.Index("ix_batch_questions_intent", "intent", "place"),
)
"""Questions of the batch lane (`core/state/batch_store.py`); `body` is empty from the answer on."""

batch_jobs = sa.Table(
    "batch_jobs",
    metadata,
    sa.Column("intent", sa.Text, primary_key=True),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("batch_id", sa.Text),
    sa.Column("questions", sa.Integer, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    *columns(Moment, "leased_until", "created_at", nullable=False),
)
"""Batches that are intended (without `batch_id`) or open; one that has ended has no row."""

batch_features = sa.Table(
    "batch_features",
    metadata,
    *columns(sa.Text, "lane", "feature", primary_key=True),
)
"""What the models of lanes were found to refuse."""

anchor_passes = sa.Table(
    "anchor_passes",
    metadata,
    sa.Column("pass_id", sa.Text, primary_key=True),
    *columns(Id, "source_key", "monitor_key", "label", "metric_digest", nullable=False),
    *columns(sa.Text, "class_name", "metric_version", "anchors", nullable=False),
    sa.Column("judged_at", Moment, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("run_id", Id, nullable=False),
    *columns(sa.Double, "cost", "threshold"),
    sa.Index("ix_anchor_passes_stream", "source_key", "monitor_key", "label", "judged_at"),
)
"""Every time that a metric was asked about the whole anchor set; `anchors` is the SHA-256 of the set's file."""

anchor_verdicts = sa.Table(
    "anchor_verdicts",
    metadata,
    sa.Column("pass_id", sa.Text, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
    sa.Column("repeat", sa.Integer, primary_key=True),
    sa.Column("value", sa.Double),
    sa.Column("passed", sa.Boolean),
    sa.Column("people", sa.Double),
    sa.Column("failure", Prose, nullable=False),
)
"""What was said of one anchor item in one vote; `people` is the label that the file had."""

prompt_generations = sa.Table(
    "prompt_generations",
    metadata,
    sa.Column("name", Id, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text),
    sa.Column("state_generation", sa.BigInteger),
)
"""How often each prompt was invalidated; `state` is what a poll last saw, at `state_generation`
(`core/state/prompt_generations.py`).
"""

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("prompt", Id, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("channels", Json, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_at", Moment),
    sa.Column("body", sa.Text),
    sa.Index("ix_deliveries_received", "received_at"),
)
"""Deliveries of Langfuse's webhook (`core/state/webhook_deliveries.py`). `channels` are still to be told, at `next_at`
or when the lease of whoever does it ends; `body` is what came, and is emptied when all is done.
"""

TO_TELL = sa.literal_column("state", sa.Text) == sa.literal_column("'waiting'")
"""Not told to all; a literal text, for the reason above."""

sa.Index("ix_deliveries_waiting", deliveries.c.next_at, sqlite_where=TO_TELL, postgresql_where=TO_TELL)

drift_state = sa.Table(
    "drift_state",
    metadata,
    *columns(Id, "source_key", "monitor_key", "label", "detector", primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("state", Json, nullable=False),
)
"""What a drift detector has gathered about one label of a stream; `version` counts its changes."""

sent_messages = sa.Table(
    "sent_messages",
    metadata,
    *columns(Id, "place", "notification", primary_key=True),
    sa.Column("begun_at", Moment, nullable=False),
    *columns(sa.Text, "channel", "ts", nullable=False),
)
"""Where the message of each alert stands (`core/state/sent_messages.py`)."""
