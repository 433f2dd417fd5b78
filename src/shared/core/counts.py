"""What a run counts."""

from __future__ import annotations

from dataclasses import dataclass


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
