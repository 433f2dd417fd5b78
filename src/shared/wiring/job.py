"""The job: one command from start to exit code. Every error ends here, said in its own words."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from shared.core.errors import ConfigError, TruelineError

T = TypeVar("T")


class Terminated(KeyboardInterrupt):
    """SIGTERM came: like Ctrl-C, with an exit code of its own."""


def guarded(command: Callable[[], int], debug: bool = False) -> int:
    """Run a command and turn whatever it raises into a message and an exit code."""
    try:
        return command()
    except ConfigError as error:
        _say(*error.problems)
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
        _say(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the job: nothing leaves it but an exit code (design, promise 2)
        if debug:
            traceback.print_exc()
        else:
            _say(f"unexpected {type(error).__name__}: {error}", "run again with --debug for the traceback")
        return 1


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; Ctrl-C and SIGTERM cancel it, so that it can put away what it has done.

    Raises:
        KeyboardInterrupt: when it was cancelled by a signal; `Terminated` for SIGTERM.
    """
    terminated = False

    async def supervised() -> T:
        nonlocal terminated
        task = asyncio.ensure_future(work)

        def stop() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop)
        try:
            return await task
        finally:
            loop.remove_signal_handler(signal.SIGTERM)

    try:
        return asyncio.run(supervised())
    except asyncio.CancelledError:
        if terminated:
            raise Terminated from None
        raise


def _say(*lines: str) -> None:
    for line in lines:
        print(f"trueline: {line}", file=sys.stderr)
