"""What a metric asks instead of a bare model: made when the configuration is checked, connected while a run is open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from shared.core.errors import ConfigError
from shared.core.model_ports import Embedder, ForgettingAdapter
from shared.core.ports import LMAdapter, Prompt
from shared.core.results import LMResult


class ModelHandle:
    """The language model of one metric. It answers while a run has connected it."""

    def __init__(self, name: str, metric: str, alias: str) -> None:
        self.name = name
        self.metric, self.alias = metric, alias
        self.inner: LMAdapter | None = None

    def connect(self, inner: LMAdapter | None) -> None:
        """Answer with this from now on; None: answer no more."""
        self.inner = inner

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """See `LMAdapter`."""
        return await self._connected.complete(prompt, max_tokens, **params)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """See `LMAdapter`."""
        return self._connected.complete_with_logprobs(prompt, max_tokens, **params)

    def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        """See `LMAdapter`."""
        return self._connected.stream(prompt, max_tokens, **params)

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> None:
        """See `ForgettingAdapter`."""
        if isinstance(self._connected, ForgettingAdapter):
            self._connected.forget(prompt, max_tokens, **params)

    def list_models(self) -> list[str]:
        """See `LMAdapter`."""
        return self._connected.list_models()

    def test_connection(self) -> None:
        """See `LMAdapter`."""
        self._connected.test_connection()

    @property
    def _connected(self) -> LMAdapter:
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
        """See `Embedder`."""
        return await self.inner.embed(texts)
