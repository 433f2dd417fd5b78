"""The job: one command from start to exit code. Every error ends here, said in its own words."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from shared.core.errors import ConfigError, TruelineError

T = TypeVar("T")

_PATIENCE = 5.0  # seconds between being asked to stop and being made to


class Terminated(KeyboardInterrupt):
    """SIGTERM came: like Ctrl-C, with an exit code of its own."""


def run_to_exit_code(command: Callable[[], int], debug: bool = False, clean: Callable[[str], str] = str) -> int:
    """Run a command and turn whatever it raises into a message and an exit code. `clean` redacts what is said."""
    try:
        return command()
    except ConfigError as error:
        _say(*map(clean, error.problems))
        return 2
    except Terminated:
        _say("terminated; what was scored is kept, and the next run finishes the rest")
        return 143
    except KeyboardInterrupt:
        _say("interrupted; what was scored is kept, and the next run finishes the rest")
        return 130
    except BrokenPipeError:
        return 1  # whoever read our output has gone
    except TruelineError as error:
        _say(clean(str(error)))
        return 1
    except Exception as error:  # noqa: BLE001 - the job: nothing leaves it but an exit code (design, promise 2)
        if debug:
            sys.stderr.write(clean(traceback.format_exc()))
        else:
            _say(clean(f"unexpected {type(error).__name__}: {error}"), "run again with --debug for the traceback")
        return 1


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine. Ctrl-C, SIGTERM and SIGHUP cancel it, so that it can put away what it has done; the second of
    them, or `_PATIENCE` seconds, end it wherever it is, also inside a metric that hangs.

    Raises:
        KeyboardInterrupt: when it was ended by a signal; `Terminated` for SIGTERM and SIGHUP.
    """
    if not gc.get_freeze_count():
        gc.freeze()  # what is imported stays: the collector walks over it no more, a tenth of a run's time
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with _Stop(lambda: loop.call_soon_threadsafe(task.cancel)) as stop:
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise stop.error() from None
        finally:
            _close(loop)


class _Stop:
    """While it is entered, signals stop the work: the first by asking, the next or a while later by raising."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._first: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[name] = signal.signal(name, self._heard)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._enough)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def error(self) -> KeyboardInterrupt:
        """What the signal that came means."""
        return KeyboardInterrupt() if self._first in (None, signal.SIGINT) else Terminated()

    def _heard(self, number: int, frame: object) -> None:
        if self._first is not None:
            raise self.error()
        self._first = number
        _say("stopping; once more to stop at once")
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE, 1.0)
        self._ask()

    def _enough(self, number: int, frame: object) -> None:
        raise self.error()


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left on a loop; what is deaf to its cancellation is left behind, for the process ends anyway."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        _, left = loop.run_until_complete(asyncio.wait(left, timeout=_PATIENCE))
    if left:
        loop.set_exception_handler(lambda loop, context: None)
        return
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _say(*lines: str) -> None:
    for line in lines:
        print(f"trueline: {line}", file=sys.stderr)
