"""What a metric asks instead of a bare model: made when the configuration is checked, connected while a run is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.core.errors import ConfigError, TruelineError
from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.llm.cache.adapter_wrapper import AdapterWrapper


class ModelHandle(AdapterWrapper):
    """The language model of one metric. It answers while a run has connected it."""

    def __init__(self, name: str, metric: str, alias: str) -> None:
        self.name = name
        self.metric, self.alias = metric, alias
        self.inner: LMAdapter | None = None

    def connect(self, inner: LMAdapter | None) -> None:
        """Answer with this from now on; None: answer no more."""
        self.inner = inner

    @property
    def _inner(self) -> LMAdapter:
        if self.inner is None:
            raise ConfigError(f"model {self.alias!r}: it can be asked only while its monitor runs")
        return self.inner


class EmbedderHandle:
    """The embedding model of one metric. It answers by itself; while a run is open its calls are counted and paid."""

    def __init__(self, embedder: Embedder, metric: str, alias: str) -> None:
        self.name = embedder.name
        self.metric, self.alias = metric, alias
        self.bare = embedder
        self.inner = embedder

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return await self.inner.embed(texts)


async def close_all(kind: str, adapters: Mapping[str, object]) -> list[str]:
    """Close what has connections in this event loop; what went wrong with it, by name."""
    problems = []
    for alias, adapter in list(adapters.items()):
        try:
            if (close := getattr(adapter, "aclose", None)) is not None:
                await close()
        except TruelineError as error:
            problems.append(f"{kind} {alias!r}: {error}")
    return problems
