"""When an item that was scored is scored again, and the id that it has in stored state because of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from shared.core.digests import content_digest, digest
from shared.core.records import DatasetItem
from shared.core.state.item_history import VERSION_DIGITS

RescoreTrigger = Literal["never", "content", "metric", "content_or_metric"]


@dataclass(frozen=True, slots=True)
class RescorePolicy:
    """When an item that was scored is scored again: never, when its content changed, or when a metric changed.

    The policy is part of the item's identity in stored state: `id` alone, or `id@digest` of what would bring it back.
    `reads` are the fields that the metrics look at, `metrics` the digests of the metrics.
    """

    policy: RescoreTrigger = "never"
    reads: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def identify(self, item: DatasetItem) -> DatasetItem:
        """The item under the id that it has in stored state."""
        if self.policy == "never":
            return item
        parts: list[object] = []
        if self.policy in ("content", "content_or_metric"):
            parts.append(content_digest(item, self.reads))
        if self.policy in ("metric", "content_or_metric"):
            parts.append(sorted(self.metrics))
        return replace(item, id=f"{item.id}@{digest(parts)[:VERSION_DIGITS]}")

    def lot(self, item: DatasetItem) -> str:
        """The item's own id, of an item that `identify` has given."""
        return item.id if self.policy == "never" else item.id[: -VERSION_DIGITS - 1]
