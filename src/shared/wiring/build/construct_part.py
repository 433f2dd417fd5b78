"""One way to construct whatever a user may name, ours and those of dotted paths: sources, sinks, label sources, models.

A part declares its parameters as a pydantic model in its attribute `Params`, or as the model that annotates its first
parameter, and is called with the checked model; else its own signature is the model, and it is called by keyword; a
part that is a model itself is its own parameters. A part whose constructor takes one thing more, named `context` (for
label sources `root`), is given that too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pydantic import BaseModel

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError
from shared.core.ports import SinkContext, SourceContext
from shared.core.registry import Registry, hint
from shared.wiring.config.checker import Checker, StrictModel, annotations_of, params_model
from shared.wiring.config.yaml_file import Where

CONTEXT_NAMES = ("context", "root")


def parameters_model(target: Callable[..., object], owner: str) -> type[BaseModel]:
    """The model of a part's parameters.

    Raises:
        ConfigError: when its signature cannot be read, or its annotations cannot be given in YAML.
    """
    declared = _declared_model(target)
    if declared is not None:
        return declared
    parameters = {name: each for name, each in _signature(target, owner).items() if name not in CONTEXT_NAMES}
    return params_model(target, parameters, owner)


def split_keys(block: Mapping[str, object], common: type[BaseModel]) -> tuple[dict[str, object], dict[str, object]]:
    """The keys of a block that every part of its kind has, and those that are the part's own."""
    shared = {key: value for key, value in block.items() if key in common.model_fields}
    return shared, {key: value for key, value in block.items() if key not in shared}


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """Something to construct, with its checked parameters."""

    target: Callable[..., object]
    params: BaseModel

    def with_root(self, root: Path) -> CheckedPart:
        """The same, with the relative paths among its parameters starting from the project's root."""
        paths = {name: str(root / value) for name, value in self.params if _is_path(name, value)}
        return replace(self, params=self.params.model_copy(update=paths))

    def construct(self, extra: object) -> object:
        """The part; `extra` is given to a constructor that takes a `context` or a `root`."""
        if type(self.params) is self.target:
            return self.params
        parameters = _signature(self.target, "")
        named = {name: _extra_for(name, extra) for name in parameters if name in CONTEXT_NAMES}
        if _declared_model(self.target) is None:
            return self.target(**dict(self.params), **named)
        required = [name for name, each in parameters.items() if each.default is each.empty and _is_positional(each)]
        if not named and len(required) > 1:
            return self.target(self.params, extra)  # the constructor has a name of its own for it
        return self.target(self.params, **named)


def check_part(
    checker: Checker,
    target: Callable[..., object],
    given: Mapping[str, object],
    where: Where,
    common: Iterable[str] = (),
) -> CheckedPart | None:
    """The part with the parameters given, or None after noting what is wrong with them. `common` are the other keys of
    its block, which errors about unknown keys name too.
    """
    model = checker.guard(where, lambda: parameters_model(target, str(where[-1])))
    if model is None:
        return None
    unknown = [key for key in given if key not in model.model_fields]
    for key in unknown:
        checker.problem((*where, key), f"unknown key {key!r}. {hint(key, [*model.model_fields, *common])}")
    params = checker.model(model, {key: value for key, value in given.items() if key not in unknown}, where)
    return None if params is None or unknown else CheckedPart(target, params)


def construct_part(checker: Checker, part: CheckedPart, where: Where, extra: object) -> object | None:
    """What the part's constructor returns, or None after noting what it raised."""
    made = attempt(part.construct, extra)
    if not isinstance(made, Exception):
        return made
    problems = made.problems if isinstance(made, ConfigError) else (f"{type(made).__name__}: {made}",)
    for problem in problems:
        checker.problem(where, f"cannot be constructed: {problem}")
    return None


def resolve_part(
    checker: Checker, registry: Registry, block: Mapping[str, object], where: Where, key: str = "type"
) -> Callable[..., object] | None:
    """What the block's `type` names, something that can be called; None after noting why there is none."""
    if key not in block:
        return None  # the model of the common keys says so
    target = checker.resolve(registry, block[key], (*where, key))
    if target is not None and not callable(target):
        checker.problem((*where, key), f"{block[key]!r} cannot be called; expected a class or a function")
        return None
    return cast(Callable[..., object] | None, target)


def _is_path(name: str, value: object) -> bool:
    return isinstance(value, str | Path) and (name in ("path", "limits_file") or name.endswith("_path"))


def _extra_for(name: str, extra: object) -> object:
    return extra.root if name == "root" and isinstance(extra, SourceContext | SinkContext) else extra


def _declared_model(target: Callable[..., object]) -> type[BaseModel] | None:
    """The model that the part names itself; an empty one where `params` has no annotation."""
    declared = getattr(target, "Params", None)
    first = None if declared is not None else next(iter(_signature(target, "").values()), None)
    if first is not None and first.name == "params":
        declared = (
            StrictModel if first.annotation is first.empty else annotations_of(target, {"params": first})["params"]
        )
    return declared if inspect.isclass(declared) and issubclass(declared, BaseModel) else None


def _signature(target: Callable[..., object], owner: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{owner}: the parameters of {target!r} cannot be read: {error}") from error


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
