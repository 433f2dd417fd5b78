"""What became of a run's scores at one sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
