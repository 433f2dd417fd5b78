"""Work that Ctrl-C and SIGTERM can stop: it is asked to, then made to."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self, TypeAlias, TypeVar

from shared.core.garbage import freeze_loaded_objects

T = TypeVar("T")
_Handler: TypeAlias = "Callable[[int, FrameType | None], object] | int | None"

_STOP_SECONDS = 5.0  # between being asked to stop and being made to


class Terminated(KeyboardInterrupt):
    """SIGTERM came: like Ctrl-C, with an exit code of its own."""


def run_until_done(work: Coroutine[object, object, T], stop_seconds: float = _STOP_SECONDS) -> T:
    """Run a coroutine. Ctrl-C, SIGTERM and SIGHUP cancel it, so that it can store what it has done; the second of
    them, or `stop_seconds` later, end it wherever it is, also inside a metric that hangs.

    Raises:
        KeyboardInterrupt: when it was ended by a signal; `Terminated` for SIGTERM and SIGHUP.
    """
    freeze_loaded_objects()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with _StopOnSignals(lambda: loop.call_soon_threadsafe(task.cancel), stop_seconds) as signals:
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise signals.error() from None
        finally:
            _close_loop(loop)


@contextmanager
def terminated_by_sigterm() -> Iterator[None]:
    """In the main thread, SIGTERM raises `Terminated` while this is entered; elsewhere signals are left alone."""

    def end(number: int, frame: object) -> None:
        raise Terminated

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, end) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


class _StopOnSignals:
    """While it is entered, signals stop the work: the first by asking, the next or a while later by raising."""

    def __init__(self, ask: Callable[[], object], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._first: int | None = None
        self._before: dict[int, _Handler] = {}

    def __enter__(self) -> Self:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[name] = signal.signal(name, self._on_first_signal)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_time_out)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def error(self) -> KeyboardInterrupt:
        """What the signal that came means."""
        return KeyboardInterrupt() if self._first in (None, signal.SIGINT) else Terminated()

    def _on_first_signal(self, number: int, frame: object) -> None:
        if self._first is not None:
            raise self.error()
        self._first = number
        print("trueline: stopping after the current items; press Ctrl-C again to force quit", file=sys.stderr)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, 1.0)
        self._ask()

    def _on_time_out(self, number: int, frame: object) -> None:
        raise self.error()


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """End the tasks of a loop; one that ignores its cancellation is left behind, for the process ends anyway."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        _, left = loop.run_until_complete(asyncio.wait(left, timeout=_STOP_SECONDS))
    if left:
        loop.set_exception_handler(lambda loop, context: None)
        return
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
