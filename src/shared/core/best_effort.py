"""Where failures of others' code end: work that must never fail a run, and calls whose failure is a value."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

_log = logging.getLogger(__name__)


@contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Run the block; log a failure as a warning and go on. Only for work that no result depends on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - by design: see the module's docstring
        _log.warning("%s failed and was left out: %s: %s", what, type(error).__name__, error_message(error))


def attempt(work: Callable[[A], T], argument: A) -> T | Exception:
    """What `work(argument)` returns, or the exception that it raised: for code of a user's. `sys.exit` in it is a
    RuntimeError.
    """
    try:
        return work(argument)
    except SystemExit as error:
        return RuntimeError(f"it called sys.exit({error.code!r})")
    except Exception as error:  # noqa: BLE001 - the failure is a value, and the caller counts and shows it
        return error


async def attempt_async(work: Awaitable[T]) -> T | Exception:
    """What a coroutine returns, or the exception that it raised; being cancelled goes through."""
    try:
        return await work
    except SystemExit as error:
        return RuntimeError(f"it called sys.exit({error.code!r})")
    except Exception as error:  # noqa: BLE001 - as above
        return error


def error_message(error: BaseException) -> str:
    """What an error says, also when it cannot say it."""
    text = attempt(str, error)
    return text if isinstance(text, str) else "its message cannot be read"
