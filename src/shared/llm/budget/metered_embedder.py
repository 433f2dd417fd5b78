"""Embeddings are counted and paid for like answers: reserved before each call, settled by what the server counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from shared.core.errors import BadAnswer
from shared.core.model_ports import Embedder
from shared.llm.budget.ledger import Amount
from shared.llm.budget.metered_adapter import Meter
from shared.llm.budget.token_counts import likely_tokens

Vectors = list[tuple[float, ...]]

_FRAME = 4  # tokens that a server may put around a text


@runtime_checkable
class TokenCountingEmbedder(Protocol):
    """An embedder that knows how many tokens its server counted."""

    async def embed_with_tokens(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        """The vectors, and the tokens that were read; None where the server does not say."""


class MeteredEmbedder:
    """An embedder of which every call is reserved, settled and counted; one that counts nothing itself is estimated."""

    def __init__(self, inner: Embedder, meter: Meter) -> None:
        self.name = inner.name
        self._inner = inner
        self._meter = meter

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The inner embedder's vectors.

        Raises:
            OverBudget: when the budget has no room for the call, which is then not made.
        """
        account, price = self._meter.account, self._meter.price
        most = 0 if self._meter.invented else sum(len(text.encode("utf-8", "replace")) + _FRAME for text in texts)
        likely = 0 if self._meter.invented else sum(likely_tokens(text) for text in texts)
        asked = Amount(0 if price is None else price.max_picodollars(most, 0), most)
        reservation = await account.ledger.reserve(asked, f"{self._meter.metric} asks {self.name}")
        used, counts = 0, {"failed": 1}
        try:
            vectors, tokens = await self._embed_with_tokens(texts)
            used, counts = (
                likely if tokens is None else tokens,
                {"calls": 1, "estimated": int(tokens is None and most > 0)},
            )
            return vectors
        except (BadAnswer, asyncio.CancelledError):
            used = likely  # the server has read it
            raise
        finally:
            paid = None if price is None else price.picodollars(used, 0, 0)
            account.ledger.settle(reservation, Amount(paid or 0, used))
            account.count(self._meter.metric, self.name, paid, input=used, **counts)

    async def _embed_with_tokens(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        if isinstance(self._inner, TokenCountingEmbedder):
            return await self._inner.embed_with_tokens(texts)
        return await self._inner.embed(texts), None
