"""How much of all bodies may be in memory at once. Over it, the body that has been arriving longest is given up: one of
Langfuse's is there in milliseconds, so whoever holds many connections open loses theirs first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class BodyBudget:
    """For one event loop: at most `most_bytes` in all, of at most `most` bodies."""

    most_bytes: int
    most: int
    _sizes: dict[asyncio.Timeout, int] = field(default_factory=dict)  # the oldest first
    _total: int = 0

    async def read(self, pieces: AsyncIterator[bytes], largest: int, seconds: float) -> bytes | None:
        """Read a body; None as soon as it is larger than `largest`.

        Raises:
            TimeoutError: when it did not arrive in time, or others needed its place.
        """
        read: list[bytes] = []
        async with asyncio.timeout(seconds) as deadline:
            self._grow(deadline, 0)
            try:
                async for piece in pieces:
                    read.append(piece)
                    self._grow(deadline, len(piece))
                    if self._sizes.get(deadline, 0) > largest:
                        return None
            finally:
                self._total -= self._sizes.pop(deadline, 0)
        return read[0] if len(read) == 1 else b"".join(read)

    def _grow(self, deadline: asyncio.Timeout, by: int) -> None:
        if by and deadline not in self._sizes:
            return  # given up already
        self._sizes[deadline] = self._sizes.get(deadline, 0) + by
        self._total += by
        while self._total > self.most_bytes or len(self._sizes) > self.most:
            oldest = next(iter(self._sizes))
            self._total -= self._sizes.pop(oldest)
            oldest.reschedule(asyncio.get_running_loop().time())
