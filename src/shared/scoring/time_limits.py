"""Waiting for metrics that may be slow, deaf or broken: limits, endings, and the words of whatever they raise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.scoring.verdict_rows import ItemVerdicts

_GRACE = 1.0  # seconds
_CANCEL_ROUNDS = 6  # half seconds that a metric has to take note of its cancellation


async def await_with_limit(answer: Any, limit: float | None) -> object:
    """Await an answer; one that goes on `_GRACE` after its limit, deaf to its cancellation, is left behind."""
    if limit is None:
        return await answer
    task = asyncio.ensure_future(answer)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=_GRACE)
        raise


def error_kind(error: BaseException) -> str:
    """The name of an error; of one that was raised in another process, the name it had there."""
    remote = getattr(error, "kind", None) if type(error).__name__ == "RemoteMetricError" else None
    return remote or type(error).__name__


async def cancel_all(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel tasks until they have ended: a metric may swallow the first cancellation, or the second.

    After `_CANCEL_ROUNDS` looks the rest are left behind, so that one metric cannot keep a run from ending.
    """
    for task in tasks:
        task.cancel()
    waiting = set(tasks)
    for _ in range(_CANCEL_ROUNDS):
        if not waiting:
            return
        done, waiting = await asyncio.wait(waiting, timeout=0.5)
        for task in waiting:
            task.cancel()
        for task in done:
            if not task.cancelled():
                task.exception()  # seen, so that asyncio does not complain about it


async def signal_end(workers: Sequence[asyncio.Future[None]], finished: asyncio.Queue[ItemVerdicts | None]) -> None:
    """Say that nothing more comes, once every worker has ended or one of them has failed."""
    await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    await finished.put(None)
