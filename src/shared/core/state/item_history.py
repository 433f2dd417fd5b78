"""All that is stored of one item of one stream: what a user is told who asks why it has, or has not, a score."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from shared.core.records import DatasetItem
from shared.core.results import Decision, MetricFailure, MetricScore, Stream

VERSION_DIGITS = 16
"""Hexadecimal digits that a stored id has behind an `@` where items come again when they or a metric change."""


class ScoreRecord(NamedTuple):
    """A stored score, the run that made it, and when."""

    score: MetricScore
    run_id: str
    at: datetime


class FailureRecord(NamedTuple):
    """One failed try of a metric (`attempt` from 1), the run that made it, and when."""

    failure: MetricFailure
    attempt: int
    run_id: str
    at: datetime


class DeliveryRecord(NamedTuple):
    """How far one message of an item is at a sink (`core/state/outbox.py`; without a label the item's whole batch):
    `state` is `pending`, `sent`, `verified`, `failed` or `skipped`, `at` when that was found, None before the first
    try.
    """

    sink: str
    label: str
    state: str
    attempts: int
    reason: str
    next_try_at: datetime
    at: datetime | None


Reason = Literal["duplicate", "filtered", "later", "over_budget", "elsewhere", "broken"]
"""Why something was left out, besides a draw's decision: it came more than once in one reading (the first stands), the
extractor or the source said that it is none of the monitor's, the source left it to a later run, the budget was spent
before it was scored, a run with another database has marked it, or it is broken (its id is then a digest of it).
"""


class SkippedItem(NamedTuple):
    """Something that was left out: so many `times` in that reading, or by so many runs without budget; `run_id` and
    `at` are those of the run that noted it last.
    """

    item_id: str
    reason: Reason
    times: int = 1
    detail: str = ""
    run_id: str = ""
    at: datetime | None = None


class ItemHistory(NamedTuple):
    """One item in stored state. `run_id` and `decided_at` are those of its decision; both ids are empty for an item
    that was marked without a draw. `item` is None unless it was drawn. `state` is one of `undrawn`, `drawn`, `failed`,
    `scored`, `published` (`database/schema/tables.py`); scores and failures are in the order in which they were made.
    """

    stream: Stream
    decision: Decision
    run_id: str
    decided_at: datetime
    state: str
    attempts: int
    not_applicable: tuple[str, ...] = ()
    batch_id: str = ""
    marked_at: datetime | None = None
    item: DatasetItem | None = None
    scores: tuple[ScoreRecord, ...] = ()
    failures: tuple[FailureRecord, ...] = ()
    delivered: tuple[DeliveryRecord, ...] = ()
    passed: tuple[SkippedItem, ...] = ()

    @property
    def missing(self) -> tuple[FailureRecord, ...]:
        """The last failure of each label that has no score, by whatever version of its metric."""
        have = {each.score.label for each in self.scores}
        last = {each.failure.metric.label: each for each in sorted(self.failures, key=lambda each: each.attempt)}
        return tuple(each for label, each in last.items() if label not in have)


def own_id(stored_id: str) -> str:
    """The id that an item's source gave it, of an id as stored: without `@` and the digest of its version."""
    head, at, tail = stored_id.rpartition("@")
    versioned = bool(at) and len(tail) == VERSION_DIGITS and all(each in "0123456789abcdef" for each in tail)
    return head if versioned and head else stored_id
