"""The tables, defined once for SQLite and Postgres. A *stream* is (source_key, monitor_key).

A decision's `state` goes

    undrawn                                   seen, not chosen by the draw; never enters a later pool
    drawn -> scored -> published              scored: every metric has its score; published: marked, nothing left to do
    drawn -> failed -> scored | failed ...    failed: some metric gave no score; tried again up to the run's limit

`scores` and `failures` are keyed by the label *and* the digest of the metric, so two labels of one class, or two
versions of one metric, never collide.
"""

from __future__ import annotations

import sqlalchemy as sa

from shared.database.schema.column_types import Id, Json, Moment, Prose

HEAD = "0012"
"""The newest revision in `migrations/versions`: what a database must be at to be used."""

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", Id, primary_key=True),
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
    sa.Column("usage", Json),
    sa.Column("budget", Json),
    sa.Column("published", Json),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
    sa.Column("payload", Json, nullable=False),
    sa.Column("stored_at", Moment, nullable=False),
)
"""The drawn items as they were when they were drawn; `payload` is `DatasetItem.to_dict()`."""

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
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
    sa.Column("claimed_by", Id),
    sa.Column("tried_at", Moment),
    sqlite_with_rowid=False,  # the primary key is the table: one lookup tells whether an item is known
)
"""One row for each item ever seen by a stream. While an item waits, `claimed_by` is the worker that has it, None when
nobody has; `tried_at` is when a try failed last.
"""

WAITING = sa.literal_column("state", sa.Text).in_([sa.literal_column("'drawn'"), sa.literal_column("'failed'")])
"""Not finished. A literal text, the same as in the index: SQLite uses a partial index for nothing else."""

FINISHED = sa.literal_column("state", sa.Text) == sa.literal_column("'scored'")
"""Scored and not yet published; a literal text for the same reason."""

# Partial, so that the rows that are done, nearly all of them, cost these two nothing.
sa.Index(
    "ix_decisions_waiting",
    decisions.c.source_key,
    decisions.c.monitor_key,
    decisions.c.decided_at,
    decisions.c.item_id,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)
sa.Index(
    "ix_decisions_finished",
    decisions.c.source_key,
    decisions.c.monitor_key,
    decisions.c.state,  # always 'scored' here: without it SQLite would rather search the primary key
    decisions.c.batch_id,
    decisions.c.item_id,
    sqlite_where=FINISHED,
    postgresql_where=FINISHED,
)

scores = sa.Table(
    "scores",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
    sa.Column("label", Id, primary_key=True),
    sa.Column("metric_digest", Id, primary_key=True),
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
    sa.Column("proxy", sa.Double),
    sa.Column("chance", sa.Double),
    sa.Index("ix_scores_run", "run_id", "item_id"),
    sa.Index("ix_scores_time", "source_key", "monitor_key", "item_at"),
)
"""What metrics said; `item_at` is when the item happened (its source's timestamp), else when it was scored."""

failures = sa.Table(
    "failures",
    metadata,
    sa.Column("source_key", Id, primary_key=True),
    sa.Column("monitor_key", Id, primary_key=True),
    sa.Column("item_id", Id, primary_key=True),
    sa.Column("label", Id, primary_key=True),
    sa.Column("metric_digest", Id, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("class_name", sa.Text, nullable=False),
    sa.Column("metric_version", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("message", Prose, nullable=False),
    sa.Column("failed_at", Moment, nullable=False),
    sa.Index("ix_failures_run", "run_id", "item_id"),
)
"""Metrics that gave no score, one row for each try (`attempt` from 1)."""

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
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
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
    sa.Column("leased_until", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)
"""Batches that are intended (without `batch_id`) or open; one that has ended has no row."""

batch_features = sa.Table(
    "batch_features",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("feature", sa.Text, primary_key=True),
)
"""What the models of lanes were found to refuse."""


anchor_passes = sa.Table(
    "anchor_passes",
    metadata,
    sa.Column("pass_id", sa.Text, primary_key=True),
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
