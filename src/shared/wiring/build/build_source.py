"""The block `source`: where items come from, and what turns a record into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.core.ports import DataSource, SourceContext
from shared.core.records import DatasetItem
from shared.core.registry import hint
from shared.wiring.config.checker import Checker, params_model
from shared.wiring.config.monitor_config import SourceCommon
from shared.wiring.config.registries import Registries


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """A source, and what every source takes besides its own parameters."""

    common: SourceCommon
    source: DataSource


def build_source(
    block: Mapping[str, object], registries: Registries, checker: Checker, root: Path
) -> BuiltSource | None:
    """The source that the block asks for, or None after noting what is wrong with it."""
    own = {key: value for key, value in block.items() if key not in SourceCommon.model_fields}
    common = {key: value for key, value in block.items() if key in SourceCommon.model_fields}
    shared = checker.model(SourceCommon, common, ("source",))
    target = None
    if "type" in block:
        target = checker.resolve(registries.sources, block["type"], ("source", "type"))
    extract = find_extractor(block.get("extractor", "item"), registries, checker)
    if target is None or shared is None:
        return None
    params = _source_params(target, own, checker)
    if params is None or extract is None:
        return None
    return BuiltSource(shared, target(params, SourceContext(root, f"{shared.type}:{shared.name}", extract)))


def find_extractor(name: object, registries: Registries, checker: Checker) -> Callable[[Any], DatasetItem] | None:
    """The function that turns a record into an item, or None after noting why there is none."""
    extract = checker.resolve(registries.extractors, name, ("source", "extractor"))
    if extract is not None and not callable(extract):
        checker.problem(("source", "extractor"), f"{name!r} cannot be called; expected a function of a record")
        return None
    found: Callable[[Any], DatasetItem] | None = extract
    return found


def _source_params(target: object, own: dict[str, object], checker: Checker) -> BaseModel | None:
    model = params_model(target, {}, "source")
    for key in list(own):
        if key not in model.model_fields:
            known = [*model.model_fields, *SourceCommon.model_fields]
            checker.problem(("source", key), f"unknown key {key!r}. {hint(key, known)}")
            del own[key]
    return checker.model(model, own, ("source",))
