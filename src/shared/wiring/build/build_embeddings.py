"""The `embeddings:` block: embedding models by name, given to the metrics that ask for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from shared.core.errors import TruelineError
from shared.core.model_ports import Embedder
from shared.core.registry import Registry, hint
from shared.llm.budget.prices import Price
from shared.wiring.config.checker import Checker, StrictModel
from shared.wiring.config.registry_entries import PartRecipe, find_recipe, split_entry
from shared.wiring.config.yaml_file import Where

OFFLINE = "offline"
"""An embedding model that every configuration has: on this machine, from the extra `semantic`."""


class EmbeddingCommon(StrictModel):
    """What every entry of `embeddings` takes besides its embedder's own parameters."""

    type: str = Field(description="the embedder: offline, openai_compatible, or package.module:attr")
    price: Price | None = Field(default=None, description="input: US dollars per million tokens; output is 0")


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


class Embeddings:
    """The embedding models of one configuration; each is made once, when a metric asks for it."""

    def __init__(
        self, entries: Mapping[str, Mapping[str, Any]], registry: Registry, checker: Checker, root: Path
    ) -> None:
        self._entries, self._registry, self._checker, self._root = entries, registry, checker, root
        self._made: dict[str, Embedder | None] = {}
        self.common: dict[str, EmbeddingCommon] = {}
        self.handles: list[EmbedderHandle] = []
        self._recipes: dict[str, PartRecipe | None] = {}
        for alias, entry in entries.items():
            self._check(alias, entry)

    def handle(self, alias: str, metric: str, where: Where) -> EmbedderHandle | None:
        """The embedding model of that name for a metric, or None after noting what is wrong with it."""
        made = self._named(alias, where)
        if made is None:
            return None
        self.handles.append(EmbedderHandle(made, metric, alias))
        return self.handles[-1]

    def open(self, around: Callable[[EmbedderHandle], Embedder]) -> None:
        """Let every metric's calls go through what is put around them, until `close`."""
        for handle in self.handles:
            handle.inner = around(handle)

    def kind(self, alias: str) -> str:
        """The `type` of an embedding model."""
        return self.common[alias].type if alias in self.common else OFFLINE

    def _named(self, alias: str, where: Where) -> Embedder | None:
        if alias != OFFLINE and alias not in self._entries:
            known = hint(alias, [*self._entries, OFFLINE])
            self._checker.problem(
                where, f"unknown embedding model {alias!r}; expected a name under `embeddings`. {known}"
            )
            return None
        if alias not in self._made:
            place = ("embeddings", alias) if alias in self._entries else where
            self._made[alias] = self._checker.guard(place, lambda: self._build(alias))
        return self._made[alias]

    async def close(self) -> list[str]:
        """Close the connections that were opened in this event loop. What went wrong with it."""
        for handle in self.handles:
            handle.inner = handle.bare
        told = []
        for alias, made in self._made.items():
            try:
                close = getattr(made, "aclose", None)
                await close() if close is not None else None
            except TruelineError as error:
                told.append(f"embeddings {alias!r}: {error}")
        return told

    def _check(self, alias: str, entry: Mapping[str, Any]) -> None:
        where: Where = ("embeddings", alias)
        found = split_entry(self._checker, EmbeddingCommon, entry, where)
        if found is not None:
            self.common[alias] = found.common
            how = find_recipe(self._checker, self._registry, found.common.type, found.own, where)
            self._recipes[alias] = None if how is None else how.with_root(self._root)

    def _build(self, alias: str) -> Embedder | None:
        if alias == OFFLINE and alias not in self._entries:
            made: Embedder = self._registry.resolve(OFFLINE)()
            return made
        how = self._recipes.get(alias)
        if how is None:
            return None  # its mistake is noted already
        made = how.made()
        return made
