"""Sources that leave no gap between two runs."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from shared.core.ports import DataSource


@runtime_checkable
class CatchesUp(Protocol):
    """A source whose window may go by the clock, so that a run that was missed or came late would leave a gap."""

    def caught_up(self, last: datetime) -> DataSource:
        """The same source, with a window that also holds all that came since `last`, when the window was last read."""
