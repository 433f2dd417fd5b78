"""What the entries of `models` and `embeddings` share: keys for all of a block, and those of the type that is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from shared.core.registry import Registry
from shared.wiring.config.checker import Checker, params_model
from shared.wiring.config.yaml_file import Where

Common = TypeVar("Common", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class SplitEntry(Generic[Common]):
    """An entry whose common keys are in order; `own` are the others, which belong to the type that it names."""

    common: Common
    own: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PartRecipe:
    """What makes the part that an entry asks for."""

    target: Callable[..., object]
    params: BaseModel

    def with_root(self, root: Path) -> PartRecipe:
        """The same, with the relative paths among its parameters starting from the project's root."""
        paths = {name: str(root / value) for name, value in self.params if _is_path(name, value)}
        return replace(self, params=self.params.model_copy(update=paths))

    def construct(self) -> object:
        """The part."""
        if getattr(self.target, "Params", None) is type(self.params):
            return self.target(self.params)
        return self.target(**dict(self.params))


def split_entry(
    checker: Checker, common: type[Common], entry: Mapping[str, object], where: Where
) -> SplitEntry[Common] | None:
    """An entry of a block, or None after noting what is wrong with its common keys."""
    shared = checker.model(common, {key: each for key, each in entry.items() if key in common.model_fields}, where)
    if shared is None:
        return None
    return SplitEntry(shared, {key: each for key, each in entry.items() if key not in common.model_fields})


def find_recipe(
    checker: Checker, registry: Registry, kind: str, own: Mapping[str, object], where: Where
) -> PartRecipe | None:
    """What makes a part of that `type` with those parameters, or None after noting what is wrong with them."""
    target = checker.resolve(registry, kind, (*where, "type"))
    if target is None:
        return None
    model: type[BaseModel] | None
    model = checker.guard(where, lambda: params_model(target, dict(signature(target).parameters), str(where[-1])))
    params = None if model is None else checker.model(model, dict(own), where)
    return None if params is None else PartRecipe(target, params)


def _is_path(name: str, value: object) -> bool:
    """Whether a parameter names a file."""
    return isinstance(value, str | Path) and (name in ("path", "limits_file") or name.endswith("_path"))
