"""Several runs on one stream: which of them has an item that waits.

A run that is at work is a *worker*. What waits is claimed in pages, by one worker at a time; the claims last as long as
the worker lives. It says so again and again (a lease), and a worker that was killed, or is silent for longer than its
lease, has its items taken over by the others.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.core.records import DatasetItem
from shared.core.results import Decision, MetricFailure, MetricScore


@dataclass(frozen=True, slots=True)
class SampledItem:
    """A drawn item that waits to be scored, as it was stored with its draw.

    `have` are the scores it has already from earlier tries; `attempts` counts those. `draw` is the run that drew it.
    """

    item: DatasetItem
    decision: Decision
    have: tuple[MetricScore, ...] = ()
    attempts: int = 0
    draw: str = ""


class SampleResult(NamedTuple):
    """What is stored of one item of a draw that was tried: its scores, the failures that stand, what does not apply."""

    draw: str
    decision: Decision
    scores: tuple[MetricScore, ...]
    failures: tuple[MetricFailure, ...]
    not_applicable: tuple[str, ...] = ()


class Claims(Protocol):
    """What one worker takes of the items that wait, each at most once. What it took and did not finish is free for
    others when it ends; so is an item that failed, and one that others failed on while it was at work it leaves alone.
    """

    @property
    def worker(self) -> str:
        """Who takes them."""

    def remember(self, items: MutableMapping[str, DatasetItem]) -> None:
        """Items by id that this run has stored with its own sample: those are handed out, and removed from `items`,
        instead of being read again."""

    def take_next(self, size: int) -> list[SampledItem]:
        """Up to `size` waiting items that nobody has, oldest draw first; empty when there is none."""

    def free_ids(self) -> list[str]:
        """The ids of all waiting items that nobody has."""

    def take(self, item_ids: Sequence[str]) -> list[SampledItem]:
        """Those of these items that wait and that nobody has, in the order of the ids."""
