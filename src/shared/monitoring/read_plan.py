"""How the source of a run is read, and where what is known or skipped is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from shared.core.extraction import BrokenRecord
from shared.core.ports import DataSource, SamplingStrategy
from shared.core.results import Stream
from shared.core.state.item_history import SkippedItem
from shared.core.state.run_stores import SkippedItemsStore
from shared.monitoring.rescore_policy import RescorePolicy
from shared.privacy.secret_gate import SecretGate

KnownFilter = Callable[[Stream, Sequence[str]], list[str]]
"""Leaves of some ids those that are new to it, in their order."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How to read: the source, what the strategy wants of an item, when items come again, what is known already, and
    where what was skipped is stored, by which run.
    """

    source: DataSource
    strategy: SamplingStrategy
    stream: Stream
    again: RescorePolicy
    known: tuple[KnownFilter, ...]
    skipped: SkippedItemsStore
    run_id: str
    secrets: SecretGate = field(default_factory=SecretGate)

    def find_new(self, item_ids: list[str]) -> Set[str]:
        """Those ids that are new to every filter."""
        for known in self.known:
            if item_ids:
                item_ids = known(self.stream, item_ids)
        return frozenset(item_ids)

    def skip(self, skipped: Sequence[SkippedItem]) -> None:
        """Store what was skipped, without secrets."""
        if skipped:
            redact = self.secrets.redact_message
            clean = [each._replace(detail=redact(each.detail)) for each in skipped]
            self.skipped.save_skipped(self.run_id, self.stream, clean)

    def drop_reported(self, broken: Sequence[BrokenRecord]) -> list[BrokenRecord]:
        """The broken records that no earlier run has reported, which are stored now."""
        marks = [each.mark for each in broken if each.mark]
        known = self.skipped.find_broken(self.stream, marks) if marks else set()
        new = [each for each in broken if each.mark not in known]
        self.skip([SkippedItem(each.mark, "broken", detail=str(each)) for each in new if each.mark])
        return new
