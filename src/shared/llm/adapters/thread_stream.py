"""Pieces that a thread makes, for an event loop that takes them one by one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable

EmitPiece = Callable[[str], None]


class ConsumerGone(Exception):
    """Nobody takes pieces any longer: the thread that gives one ends by this."""


async def stream_from_thread(work: Callable[[EmitPiece], object]) -> AsyncGenerator[str]:
    """What `work` gives, as it gives it. Who stops taking ends the work at its next piece; its errors are raised."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    left = threading.Event()

    def give(piece: str) -> None:
        if left.is_set():
            raise ConsumerGone
        loop.call_soon_threadsafe(pieces.put_nowait, piece)

    task = asyncio.ensure_future(asyncio.to_thread(work, give))
    task.add_done_callback(lambda _: pieces.put_nowait(None))
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
        await task
    finally:
        left.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain about it


def count_final_characters(text: str, stops: tuple[str, ...]) -> int:
    """How many characters of an unfinished text no stop text can cut off any more."""
    held = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), held, -1):
            if text.endswith(stop[:length]):
                held = length
                break
    return len(text) - held
