"""The `models:` block: language models by name, given to the metrics that ask for one. An adapter is constructed when
the configuration is checked, so that its mistakes are reported then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from shared.core.ports import LMAdapter
from shared.core.registry import Registry, hint
from shared.llm.models.model_handle import ModelHandle
from shared.llm.models.model_set import ModelSet, ModelSpec
from shared.llm.models.model_settings import OFFLINE, ModelCommon
from shared.llm.openai.server_settings import OpenAISettings
from shared.wiring.build.construct_part import check_part, resolve_part, split_keys
from shared.wiring.config.checker import Checker
from shared.wiring.config.yaml_file import Where

Entries = Mapping[str, Mapping[str, object]]


class ModelBuilder:
    """Checks the models of one configuration and gives them to metrics. Those that no metric asks for are checked and
    not constructed.
    """

    def __init__(self, entries: Entries, registry: Registry, checker: Checker, root: Path) -> None:
        self._entries, self._registry, self._checker, self._root = entries, registry, checker, root
        self._specs = {
            OFFLINE: ModelSpec(ModelCommon(type=OFFLINE), lambda: cast(LMAdapter, registry.resolve(OFFLINE)()))
        }
        for alias, entry in entries.items():
            self._specs.pop(alias, None)
            self._check(alias, entry)
        for alias, spec in self._specs.items():
            self._check_fallbacks(alias, spec.common)
        self._failed: set[str] = set()
        self.models = ModelSet(self._specs, root)

    def handle(self, alias: str, metric: str, where: Where) -> ModelHandle | None:
        """The model of that name for a metric, or None after noting what is wrong with it."""
        if alias != OFFLINE and alias not in self._entries:
            known = hint(alias, [*self._entries, OFFLINE])
            self._checker.problem(where, f"unknown model {alias!r}; expected a name under `models`. {known}")
            return None
        if alias not in self._specs or not all(self._can_construct(link) for link in self.models.chain(alias)):
            return None
        return self.models.add_handle(alias, metric)

    def _can_construct(self, alias: str) -> bool:
        """Whether a model has an adapter; what is wrong with it is noted once."""
        if alias not in self._specs or alias in self._failed:
            return False
        if self._checker.guard(("models", alias), lambda: self.models.adapter(alias)) is None:
            self._failed.add(alias)
        return alias not in self._failed

    def _check(self, alias: str, entry: Mapping[str, object]) -> None:
        where: Where = ("models", alias)
        shared, own = split_keys(entry, ModelCommon)
        common = self._checker.model(ModelCommon, shared, where)
        if common is None:
            return
        if common.lane == "batch" and common.type != "openai_compatible":
            self._checker.problem((*where, "lane"), f"'batch' is for type openai_compatible, found {common.type!r}")
        if common.batch is not None and common.lane != "batch":
            self._checker.problem((*where, "batch"), "has no effect without lane: batch; add that or remove this")
        target = resolve_part(self._checker, self._registry, entry, where)
        part = None if target is None else check_part(self._checker, target, own, where)
        if part is not None:
            served, rooted = entry.get("model"), part.with_root(self._root)
            self._specs[alias] = ModelSpec(
                common,
                lambda: cast(LMAdapter, rooted.construct(self._root)),
                served if isinstance(served, str) else None,
                rooted.params if isinstance(rooted.params, OpenAISettings) else None,
            )

    def _check_fallbacks(self, alias: str, common: ModelCommon) -> None:
        for i, other in enumerate(common.fallback):
            where: Where = ("models", alias, "fallback", i)
            if other == alias:
                self._checker.problem(where, f"{alias!r} cannot be its own fallback; name another model")
            elif other != OFFLINE and other not in self._entries:
                known = hint(other, [*(name for name in self._entries if name != alias), OFFLINE])
                self._checker.problem(where, f"unknown model {other!r}. {known}")
