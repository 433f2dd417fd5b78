"""How the source of a run is read, and where what is known or skipped is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from shared.core.digests import content_digest
from shared.core.extraction import BrokenRecord
from shared.core.ports import DataSource, SamplingStrategy
from shared.core.records import DatasetItem
from shared.core.results import Stream
from shared.core.state.item_history import SkippedItem
from shared.core.state.run_stores import SampleStore, SkippedItemsStore
from shared.monitoring.rescore_policy import RescorePolicy
from shared.privacy.secret_gate import SecretGate

KnownFilter = Callable[[Stream, Sequence[str]], list[str]]
"""Leaves of some ids those that are new to it, in their order."""


class UnscoredItems:
    """Items that no metric applied to: one that has changed is scored as it is now. `reads` are the fields that metrics
    look at. Without `samples` they stay as they are.
    """

    def __init__(self, stream: Stream, reads: Sequence[str] = (), samples: SampleStore | None = None) -> None:
        self._stream, self._reads = stream, reads
        self._samples = samples if samples is not None and samples.may_have_unscored(stream) else None
        self.reopened = 0

    def find(self, item_ids: Sequence[str]) -> Mapping[str, DatasetItem]:
        """Those of these items that no metric applied to, as they are stored."""
        return self._samples.find_unscored(self._stream, item_ids) if self._samples and item_ids else {}

    def reopen_changed(self, items: Sequence[DatasetItem]) -> None:
        """Have those of these items scored that no metric applied to and that have changed since."""
        stored = self.find([item.id for item in items])
        changed = [item for item in items if item.id in stored and self._digest(item) != self._digest(stored[item.id])]
        if changed and self._samples:
            self._samples.reopen_changed(self._stream, changed)
            self.reopened += len(changed)

    def _digest(self, item: DatasetItem) -> str:
        return content_digest(item, self._reads)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How to read: the source, what the strategy wants of an item, when items come again, what is known already, where
    what was skipped is stored, by which run, and the known items that come again when they have changed.
    """

    source: DataSource
    strategy: SamplingStrategy
    stream: Stream
    again: RescorePolicy
    known: tuple[KnownFilter, ...]
    skipped: SkippedItemsStore
    run_id: str
    unscored: UnscoredItems
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
