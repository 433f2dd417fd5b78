"""How far a run has come, for whoever shows it."""

from __future__ import annotations

from typing import Protocol


class RunProgress(Protocol):
    """Is told how far a run has come."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins; `total` steps are expected where that is known."""
        ...

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done."""
        ...


class NoProgress:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Say nothing."""

    def advance(self, steps: int = 1) -> None:
        """Say nothing."""
