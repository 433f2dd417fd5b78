"""The port of the batch lane: which questions are in which batch of a provider, so that the next run goes on.

A *lane* is one model of one server, as text. A question goes

    queued -> sent -> answered -> taken      by `ask`, `claim`, `settle` and `take`
    queued <- sent                           `release`: its batch was not made
    (gone) <- sent                           `finish`: its batch ended without it; free to be asked again

and a batch (`BatchJob`) from intended (`claim`: rows are written before the provider hears of it) to open
(`record_opened`: the provider's id is known) to gone (`finish`, `release`). A question is in one batch at most,
whoever asks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

QuestionState = Literal["queued", "sent", "answered", "taken"]


@dataclass(frozen=True, slots=True)
class BatchQuestion:
    """Where a question stands. `outcome` is there once it is answered: what the provider's file said of it."""

    state: QuestionState
    intent: str | None = None
    outcome: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch. `intent` is our name for it, sent as its metadata; `batch_id` is the provider's, None until known.

    Until then `owner` is making it and nobody else may, up to `leased_until` (UTC).
    """

    intent: str
    lane: str
    questions: int
    owner: str
    leased_until: datetime
    created_at: datetime
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class BatchClaim:
    """Who takes queued questions for a new batch: at most so many, and so many bytes; until when it is theirs."""

    intent: str
    owner: str
    now: datetime
    until: datetime
    most: int
    most_bytes: int


class BatchStore(Protocol):
    """What was asked by batch. Safe under threads and processes; every change is durable on return."""

    def ask(self, lane: str, questions: Mapping[str, Mapping[str, Any]], now: datetime) -> dict[str, BatchQuestion]:
        """Put questions (key -> body of the request) into the queue, unless they are there; how each stands after it.

        One that was taken is queued anew. The states of those that were new are `queued`.
        """

    def claim(self, lane: str, claim: BatchClaim) -> BatchJob | None:
        """Make an intended batch of the queued questions, oldest first; None when none is queued.

        One question is always taken, whatever its size.
        """

    def bodies(self, intent: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """The questions of a batch without an outcome: (place from 0, key, body), by place, which never changes."""

    def renew(self, intent: str, owner: str, now: datetime, until: datetime) -> bool:
        """Lengthen the owner's time for an intended batch, or take it over when its time is up.

        False when it is another's, or no longer intended: then nothing may be created.
        """

    def record_opened(self, intent: str, batch_id: str) -> None:
        """The provider has the batch under this id."""

    def release(self, intent: str) -> None:
        """There is no such batch and will be none: its questions are queued again."""

    def jobs(self, lane: str) -> list[BatchJob]:
        """The intended and open batches, oldest first."""

    def settle(self, intent: str, outcomes: Mapping[str, Mapping[str, Any]]) -> int:
        """Keep outcomes by key; how many of the keys are questions of this batch. The first outcome of a key stands."""

    def finish(self, intent: str, rest: Mapping[str, Any] | None = None) -> int:
        """The batch has ended: questions without an outcome get `rest`, or are free when it is None; how many."""

    def take(self, lane: str, keys: Sequence[str], now: datetime) -> dict[str, BatchQuestion]:
        """How questions stand; those that are answered are taken by it. Keys that are not there are left out.

        A taken one keeps its outcome for others who were waiting for it, until `forget`.
        """

    def record_refused(self, lane: str, feature: str) -> None:
        """Remember what the lane's model refuses."""

    def read_refused(self, lane: str) -> list[str]:
        """What the lane's model is known to refuse."""

    def forget(self, before: datetime) -> int:
        """Delete questions that were taken before a moment; how many."""
