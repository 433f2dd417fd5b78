"""The monitor's source, from the block `source`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from shared.core.ports import DataSource, SourceContext
from shared.core.records import DatasetItem
from shared.core.window import WindowRule
from shared.monitoring.source_window import (
    WINDOW_KEYS,
    SourceInWindow,
    applies_window,
    split_window_keys,
    window_params_model,
    window_support_of,
)
from shared.wiring.build.construct_part import check_part, construct_part, parameters_model, resolve_part, split_keys
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import SourceCommon
from shared.wiring.config.registries import Registries

_WHERE = ("source",)

RESERVED_KEYS = ("type", "name", "extractor")
"""Keys that no source may have as parameters of its own."""


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """A source, and what every source takes besides its own parameters."""

    common: SourceCommon
    source: DataSource


def build_source(
    block: Mapping[str, object], registries: Registries, checker: Checker, root: Path
) -> BuiltSource | None:
    """The source that the block asks for, or None after noting what is wrong with it.

    A common key that is also a parameter of the source is given to the source. Text in it travels with the rows too.
    """
    target = resolve_part(checker, registries.sources, block, _WHERE)
    model = None if target is None else checker.guard(_WHERE, lambda: parameters_model(target, "source"))
    parameters: Collection[str] = () if model is None else model.model_fields
    common, _ = split_keys(block, SourceCommon)
    shared = checker.model(SourceCommon, _for_rows(common, parameters), _WHERE)
    extract = _resolve_extractor(block.get("extractor", "item"), registries, checker)
    if target is None or model is None or not _names_are_free(target, parameters, checker):
        return None
    rest = {key: value for key, value in block.items() if key in parameters or key not in common}
    window, own = split_window_keys(rest, parameters)
    rule = _check_window(target, window, str(block["type"]), checker)
    part = check_part(checker, target, own, _WHERE, (*SourceCommon.model_fields, *WINDOW_KEYS))
    if shared is None or extract is None or rule is None or part is None:
        return None
    context = SourceContext(root, f"{shared.type}:{shared.name}", extract, rule)
    source = construct_part(checker, part, _WHERE, context)
    if source is None:
        return None
    if applies_window(target) or rule.is_everything:
        return BuiltSource(shared, cast(DataSource, source))

    def construct(each: WindowRule) -> DataSource:
        return cast(DataSource, part.construct(replace(context, window=each)))

    return BuiltSource(shared, SourceInWindow(construct, rule))


def _for_rows(common: Mapping[str, object], parameters: Collection[str]) -> dict[str, object]:
    """The common keys that travel with the rows; a list that a source filters by is no value of one row."""
    return {key: value for key, value in common.items() if key not in parameters or isinstance(value, str)}


def _names_are_free(target: object, parameters: Collection[str], checker: Checker) -> bool:
    taken = [key for key in RESERVED_KEYS if key in parameters]
    for key in taken:
        checker.problem(_WHERE, f"{target!r} has a parameter {key!r}, which every source has already; rename it")
    return not taken


def _check_window(target: object, given: Mapping[str, object], kind: str, checker: Checker) -> WindowRule | None:
    support = window_support_of(target)
    if support is None:
        for key in given:
            text = f"the source {kind!r} has no window of time and reads all its records; remove {key!r}"
            checker.problem((*_WHERE, key), text)
        return None if given else WindowRule()
    params = checker.model(window_params_model(support), dict(given), _WHERE)
    return None if params is None else params.to_rule(support)


def _resolve_extractor(
    name: object, registries: Registries, checker: Checker
) -> Callable[[object], DatasetItem] | None:
    where = (*_WHERE, "extractor")
    found = checker.resolve(registries.extractors, name, where)
    if found is not None and not callable(found):
        checker.problem(where, f"{name!r} cannot be called; expected a function of a record")
        return None
    return cast(Callable[[object], DatasetItem] | None, found)
