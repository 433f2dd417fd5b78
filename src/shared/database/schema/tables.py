"""The tables, defined once for SQLite and Postgres. A *stream* is (source_key, monitor_key).

A decision's `state` goes

    undrawn                                   left out (now in `unsampled_pages`); never enters a later pool
    drawn -> scored -> published              scored: every metric has its score; published: marked, nothing left to do
    drawn -> failed -> scored | failed ...    failed: some metric gave no score; tried again up to the run's limit

`scores` and `failures` are keyed by the label *and* the digest of the metric, so two labels of one class, or two
versions of one metric, never collide.
"""

from __future__ import annotations

import sqlalchemy as sa

from shared.database.schema.column_types import Id, Json, Moment, Prose, columns

HEAD = "0017"
"""The newest revision in `migrations/versions`: what a database must be at to be used."""

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", Id, primary_key=True),
    sa.Column("monitor", sa.Text, nullable=False),
    *columns(Id, "source_key", "monitor_key", nullable=False),
    *columns(sa.Text, "config_digest", "status", nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    *columns(Json, "counts", "estimates", "notes", "broken", "failure_kinds", nullable=False),
    sa.Column("cost", sa.Double),
    *columns(sa.Text, "version", "environment", nullable=False),
    sa.Column("publishing", Json, nullable=False),
    sa.Column("config_text", Prose, nullable=False),
    *columns(Json, "usage", "budget", "published"),
    sa.Column("aggregated", sa.Boolean),
    sa.Column("pruned_at", Moment),
    sa.Column("warnings", Json),
)
"""`warnings` are those of the `notes` that warn, all of them where it is null.
`aggregated` is false of runs whose scores are still to be added to `score_aggregates`; else they are in it from the
moment when they are stored. `pruned_at`: when the texts of its items were dropped.
"""

items = sa.Table(
    "items",
    metadata,
    *columns(Id, "source_key", "monitor_key", "item_id", primary_key=True),
    sa.Column("payload", Json, nullable=False),
    sa.Column("stored_at", Moment, nullable=False),
)
"""The drawn items as they were when they were drawn; `payload` is `DatasetItem.to_dict()`."""

decisions = sa.Table(
    "decisions",
    metadata,
    *columns(Id, "source_key", "monitor_key", "item_id", primary_key=True),
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
"""One row for each item that a stream has sampled or marked, and for those left out before version 0015 or to keep a
budget; the others are in `unsampled_pages`. While an item waits, `claimed_by` is the worker that has it, None when
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

unsampled_groups = sa.Table(
    "unsampled_groups",
    metadata,
    *columns(Id, "source_key", "monitor_key", primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("probability", sa.Double),
    sa.Column("strategy", sa.Text, nullable=False),
    sa.Column("stratum", Id, nullable=False),
    sa.Column("decided_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)
"""What items that were left out have in common; `probability` is null where there is none, or each has its own."""

unsampled_pages = sa.Table(
    "unsampled_pages",
    metadata,
    *columns(Id, "source_key", "monitor_key", primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first", Id, primary_key=True),
    sa.Column("entries", sa.LargeBinary, nullable=False),
)
"""Items that were left out, by digest (`engine/unsampled_ids.py`); `first` is the first digest of the page."""

scores = sa.Table(
    "scores",
    metadata,
    *columns(Id, "source_key", "monitor_key", "item_id", "label", "metric_digest", primary_key=True),
    sa.Column("run_id", Id, nullable=False),
    *columns(sa.Text, "class_name", "metric_version", nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("passed", sa.Boolean),
    sa.Column("threshold", sa.Double),
    sa.Column("explanation", Prose, nullable=False),
    sa.Column("signals", Json),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("parent", sa.Text),
    *columns(sa.Double, "weight", "cost"),
    sa.Column("model", sa.Text),
    *columns(Moment, "scored_at", "item_at", nullable=False),
    *columns(sa.Double, "proxy", "chance"),
    sa.Index("ix_scores_run", "run_id", "item_id"),
    sa.Index("ix_scores_time", "source_key", "monitor_key", "item_at"),
)
"""What metrics said; `item_at` is when the item happened (its source's timestamp), else when it was scored."""

score_aggregates = sa.Table(
    "score_aggregates",
    metadata,
    *columns(Id, "source_key", "monitor_key", primary_key=True),
    sa.Column("width", sa.Integer, primary_key=True),
    sa.Column("start", Moment, primary_key=True),
    *columns(Id, "label", "metric_digest", "segment", "stratum", primary_key=True),
    sa.Column("metric_version", sa.Text, nullable=False),
    *columns(sa.Integer, "n", "queued", nullable=False),
    *columns(sa.Boolean, "thinned", "two_valued", nullable=False),
    *columns(sa.Double, "low", "high"),
    *columns(Json, "sums", "verdicts", "sketch"),
    sqlite_with_rowid=False,
)
"""Scores by metric, version, segment and stratum, in buckets of `width` seconds (`core/state/score_aggregates.py`)."""

failures = sa.Table(
    "failures",
    metadata,
    *columns(Id, "source_key", "monitor_key", "item_id", "label", "metric_digest", primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("run_id", Id, nullable=False),
    *columns(sa.Text, "class_name", "metric_version", "kind", nullable=False),
    sa.Column("message", Prose, nullable=False),
    sa.Column("failed_at", Moment, nullable=False),
    sa.Index("ix_failures_run", "run_id", "item_id"),
)
"""Metrics that gave no score, one row for each try (`attempt` from 1)."""


workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker", Id, primary_key=True),
    *columns(Id, "source_key", "monitor_key", "run_id", nullable=False),
    *columns(Moment, "since", "leased_until", nullable=False),
)
"""Runs that are at work. An item whose `claimed_by` is set has its worker here: who goes, or is found dead, frees its
items in the same transaction.
"""

draws = sa.Table(
    "draws",
    metadata,
    *columns(Id, "source_key", "monitor_key", "run_id", primary_key=True),
    sa.Column("drawn", sa.Integer, nullable=False),
    sa.Column("drawn_at", Moment, nullable=False),
    sa.Column("reported_by", Id),
)
"""Draws by the run that made them, with how many items they drew and the run that has reported their estimates."""

passed_over = sa.Table(
    "passed_over",
    metadata,
    *columns(Id, "source_key", "monitor_key", "item_id", "reason", primary_key=True),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("detail", Prose, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
"""Why something was left out that no decision tells of (`core/state/item_history.py`, `SkippedItem`), and by which run
last.
"""

outbox = sa.Table(
    "outbox",
    metadata,
    *columns(Id, "source_key", "monitor_key", "item_id", "sink", "key", primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    *columns(Id, "batch_id", "run_id", nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    *columns(Moment, "next_try_at", "stored_at", nullable=False),
    *columns(Moment, "sent_at", "settled_at"),
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
