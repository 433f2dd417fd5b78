"""The embedding models of one configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.core.model_ports import Embedder
from shared.llm.budget.metered_adapter import Meter, MeteredEmbedder, UsageAccount
from shared.llm.budget.prices import Price
from shared.llm.models.model_handle import EmbedderHandle, close_all
from shared.llm.models.model_settings import OFFLINE, EmbeddingCommon


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """One embedding model, and how it is constructed."""

    common: EmbeddingCommon
    construct: Callable[[], Embedder]


class EmbedderSet:
    """The embedding models of one configuration; each is constructed once, when a metric asks for it."""

    def __init__(self, specs: Mapping[str, EmbedderSpec]) -> None:
        self._specs = specs
        self._embedders: dict[str, Embedder] = {}
        self.handles: list[EmbedderHandle] = []

    def add_handle(self, alias: str, metric: str) -> EmbedderHandle:
        """The embedding model of that name for a metric.

        Raises:
            ConfigError: when it cannot be constructed.
        """
        if alias not in self._embedders:
            self._embedders[alias] = self._specs[alias].construct()
        self.handles.append(EmbedderHandle(self._embedders[alias], metric, alias))
        return self.handles[-1]

    def common(self, alias: str) -> EmbeddingCommon:
        """What every embedding model takes, of this one."""
        return self._specs[alias].common

    def open(self, account: UsageAccount, price: Callable[[EmbedderHandle], Price | None]) -> None:
        """Count and pay every metric's calls until `close`."""
        for handle in self.handles:
            free = self.common(handle.alias).type == OFFLINE
            handle.inner = MeteredEmbedder(handle.bare, Meter(account, handle.metric, price(handle), free))

    async def close(self) -> list[str]:
        """Close the connections that were opened in this event loop. What went wrong with it."""
        for handle in self.handles:
            handle.inner = handle.bare
        return await close_all("embeddings", self._embedders)
