"""The `embeddings:` block: embedding models by name, given to the metrics that ask for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from shared.core.model_ports import Embedder
from shared.core.registry import Registry, hint
from shared.llm.models.embedder_set import EmbedderSet, EmbedderSpec
from shared.llm.models.model_handle import EmbedderHandle
from shared.llm.models.model_settings import OFFLINE, EmbeddingCommon
from shared.wiring.build.construct_part import check_part, resolve_part, split_keys
from shared.wiring.config.checker import Checker
from shared.wiring.config.yaml_file import Where


class EmbedderBuilder:
    """Checks the embedding models of one configuration and gives them to metrics."""

    def __init__(
        self, entries: Mapping[str, Mapping[str, object]], registry: Registry, checker: Checker, root: Path
    ) -> None:
        self._entries, self._registry, self._checker, self._root = entries, registry, checker, root
        self._specs = {
            OFFLINE: EmbedderSpec(EmbeddingCommon(type=OFFLINE), lambda: cast(Embedder, registry.resolve(OFFLINE)()))
        }
        for alias, entry in entries.items():
            self._specs.pop(alias, None)
            self._check(alias, entry)
        self._failed: set[str] = set()
        self.embedders = EmbedderSet(self._specs)

    def handle(self, alias: str, metric: str, where: Where) -> EmbedderHandle | None:
        """The embedding model of that name for a metric, or None after noting what is wrong with it."""
        if alias != OFFLINE and alias not in self._entries:
            known = hint(alias, [*self._entries, OFFLINE])
            self._checker.problem(
                where, f"unknown embedding model {alias!r}; expected a name under `embeddings`. {known}"
            )
            return None
        if alias not in self._specs or alias in self._failed:
            return None  # its mistake is noted already
        place = ("embeddings", alias) if alias in self._entries else where
        found = self._checker.guard(place, lambda: self.embedders.add_handle(alias, metric))
        if found is None:
            self._failed.add(alias)
        return found

    def _check(self, alias: str, entry: Mapping[str, object]) -> None:
        where: Where = ("embeddings", alias)
        shared, own = split_keys(entry, EmbeddingCommon)
        common = self._checker.model(EmbeddingCommon, shared, where)
        target = None if common is None else resolve_part(self._checker, self._registry, entry, where)
        part = None if target is None else check_part(self._checker, target, own, where)
        if common is not None and part is not None:
            rooted = part.with_root(self._root)
            self._specs[alias] = EmbedderSpec(common, lambda: cast(Embedder, rooted.construct(self._root)))
