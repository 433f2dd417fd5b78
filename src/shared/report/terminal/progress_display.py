"""Progress of a run on standard error: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_EVERY = 10.0  # seconds between lines in a log


class ProgressDisplay:
    """Progress of a run while the `with` block runs. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins; `total` steps are expected where that is known."""

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done."""


class ProgressLines(ProgressDisplay):
    """A line per stage, and one every ten seconds within it."""

    def __init__(self) -> None:
        self._name, self._total, self._done, self._printed_at = "", None, 0, 0.0  # type: str, int | None, int, float

    def stage(self, name: str, total: int | None = None) -> None:
        """Print that a stage begins."""
        self._name, self._total, self._done, self._printed_at = name, total, 0, time.monotonic()
        of = "" if total is None else f" {total:,} items"
        print(f"{name}{of} ...", file=sys.stderr, flush=True)

    def advance(self, steps: int = 1) -> None:
        """Print how far it is, now and then."""
        self._done += steps
        now = time.monotonic()
        if now - self._printed_at >= _EVERY:
            self._printed_at = now
            of = "" if self._total is None else f" of {self._total:,}"
            print(f"{self._name}: {self._done:,}{of}", file=sys.stderr, flush=True)


class ProgressBar(ProgressDisplay):
    """One bar that changes with the stages and goes away in the end."""

    def __init__(self) -> None:
        from rich.console import Console  # late: only a terminal needs it
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Start the bar again."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        self._bar.advance(self._task, steps)


def choose_progress_display(quiet: bool) -> ProgressDisplay:
    """The progress that fits where standard error goes."""
    if quiet:
        return ProgressDisplay()
    return ProgressBar() if sys.stderr.isatty() else ProgressLines()
