"""What a run counts: records, items and scores, and the messages to each sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many records and items went which way in one run. `not_applicable` counts labels, `no_metric` the items to
    which none of them applies, `cut` how often a limit kept the run from the rest of its window, `behind` the seconds
    before its begin from which the next window must hold everything.
    """

    read: int = 0
    broken: int = 0
    filtered: int = 0
    duplicates: int = 0
    already_scored: int = 0
    pool: int = 0
    drawn: int = 0
    thinned: int = 0
    resumed: int = 0
    scored: int = 0
    failed_items: int = 0
    scores: int = 0
    failures: int = 0
    not_applicable: int = 0
    no_metric: int = 0
    postponed: int = 0
    marked: int = 0
    cut: int = 0
    behind: int = 0

    @property
    def failure_share(self) -> float:
        """Failures among all that was tried, 0 when nothing was."""
        tried = self.scores + self.failures
        return self.failures / tried if tried else 0.0


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Counts of messages, or of whole batches (`whole`).

    Of the run itself are `verified` (the sink has them), `skipped` (the sink has no place for them) and `failed` (the
    sink will never take them). What stands when the run ends, also of earlier runs: `sent` (taken, not to be read back
    yet), `pending` (they wait for another try) and `failed_before` (failed in earlier runs). `reasons` counts why
    messages were skipped, failed or wait, in the sink's words.
    """

    sink: str
    required: bool = True
    whole: bool = False
    verified: int = 0
    skipped: int = 0
    failed: int = 0
    sent: int = 0
    pending: int = 0
    failed_before: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds_up(self) -> bool:
        """Whether the run must say that it has not done all: something required waits, or failed."""
        return self.required and bool(self.pending or self.failed)
