"""From `metrics_config` and `evaluation` to bound metrics and the tree above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError
from shared.core.ports import LMAdapter
from shared.core.registry import Registry, hint
from shared.llm.models.model_handle import ModelHandle
from shared.scoring.metric import BoundMetric, MetricOptions, bind, user_parameters
from shared.scoring.parameter_types import ProjectFile
from shared.scoring.tree import Child, Node, order_nodes
from shared.wiring.build.build_embeddings import EmbedderBuilder
from shared.wiring.build.build_models import ModelBuilder
from shared.wiring.build.construct_part import split_keys
from shared.wiring.config.checker import Checker, GivenByName, describe_value, params_model
from shared.wiring.config.monitor_config import Evaluation, MetricCommon
from shared.wiring.config.yaml_file import Where

_NODE_KEYS = ("_strategy", "_threshold", "_exclude_failed")
_OF_PARTS = ("field_mapping",)
_STRATEGIES = ("weighted_average", "min", "max")


@dataclass(frozen=True, slots=True)
class MetricParts:
    """What metrics are made of besides their own parameters, and where mistakes are noted."""

    registry: Registry
    models: ModelBuilder
    embedders: EmbedderBuilder
    root: Path
    evaluation: Evaluation
    checker: Checker


def build_metrics(entries: Mapping[str, Mapping[str, Any]], parts: MetricParts) -> list[BoundMetric]:
    """A bound metric per label; every mistake is noted with the checker."""
    made = (_metric(("metrics_config", label), label, entry, parts) for label, entry in entries.items())
    return [metric for metric in made if metric is not None]


def _metric(where: Where, label: str, entry: Mapping[str, Any], parts: MetricParts) -> BoundMetric | None:
    """The metric of an entry at a place, or None after noting what is wrong with it."""
    checker = parts.checker
    if "class" not in entry:
        checker.problem(where, f"'class' is missing; expected the name of a metric. {_typo(entry)}".rstrip())
        return None
    target = checker.resolve(parts.registry, entry["class"], (*where, "class"))
    if target is None:
        return None
    if not callable(target):
        checker.problem((*where, "class"), f"{entry['class']!r} is {describe_value(target)}, which cannot be called")
        return None
    common, own = split_keys(entry, MetricCommon)
    del own["class"]
    model = _own_model(target, where, own, checker)
    if model is None:
        return None
    options, params = checker.model(MetricCommon, common, where), checker.model(model, own, where)
    if options is None or params is None:
        return None
    given = _resolve_named_parts(params, where, label, parts)
    if given is None:
        return None
    chosen = _options(label, options, parts.evaluation)
    found = checker.guard(where, lambda: _bind(target, label, given, chosen))
    if found is not None and _asks_elsewhere(found):
        checker.problem((*where, "blocking"), "a metric that asks a model cannot run in a process of its own")
        return None
    return found


def _resolve_named_parts(params: BaseModel, where: Where, label: str, parts: MetricParts) -> dict[str, Any] | None:
    """The parameters, defaults too (they are part of the digest), with the parts that they name or contain; None after
    noting what is wrong with one.
    """
    given = {name: getattr(params, name) for name in type(params).model_fields}
    for name, info in type(params).model_fields.items():
        named = next((mark for mark in info.metadata if isinstance(mark, GivenByName)), None)
        if isinstance(given[name], ProjectFile):
            given[name] = ProjectFile(str(parts.root / given[name]), given[name].identity)
        if named is None or given[name] is None:
            continue
        place: Where = (*where, name)
        if named.kind is BoundMetric:
            given[name] = _nested_metric(place, f"{label}.{name}", given[name], parts)
        elif named.kind is LMAdapter:
            given[name] = parts.models.handle(given[name], label, place)
        else:
            given[name] = parts.embedders.handle(given[name], label, place)
    complete = all(given[name] is not None or getattr(params, name) is None for name in given)
    return given if complete else None


def _nested_metric(where: Where, label: str, entry: Mapping[str, Any], parts: MetricParts) -> BoundMetric | None:
    """A metric that is part of another; what only a metric of its own has is a mistake."""
    idle = [key for key in entry if key in MetricCommon.model_fields and key not in _OF_PARTS]
    for key in idle:
        parts.checker.problem(
            (*where, key), f"{key!r} has no effect on a part of a metric; put it beside the outer 'class'"
        )
    return None if idle else _metric(where, label, entry, parts)


def _asks_elsewhere(metric: BoundMetric) -> bool:
    """Whether a metric would take its model into another process, where nothing is counted or remembered."""
    return metric.blocking and any(isinstance(value, ModelHandle) for value in metric.params.values())


def _own_model(
    target: Callable[..., object], where: Where, own: dict[str, Any], checker: Checker
) -> type[BaseModel] | None:
    """The model of a metric's own parameters; keys that it does not know are noted and taken out of `own`."""
    model = checker.guard(where, lambda: params_model(target, user_parameters(target), str(where[-1])))
    if model is None:
        return None
    taken = sorted(set(model.model_fields) & {*MetricCommon.model_fields, "class"})
    if taken:
        checker.problem(where, f"the metric has a parameter {taken[0]!r}, a key that every metric has; rename it")
        return None
    for key in [key for key in own if key not in model.model_fields]:
        known = [*model.model_fields, *MetricCommon.model_fields, "class"]
        checker.problem((*where, key), f"unknown key {key!r} for this metric. {hint(key, known)}")
        del own[key]
    return model


def _bind(target: Callable[..., object], label: str, params: Mapping[str, Any], options: MetricOptions) -> BoundMetric:
    made = attempt(lambda given: bind(target, label, given, options), params)
    if isinstance(made, ConfigError):
        raise made
    if isinstance(made, Exception):  # a metric class's constructor may raise anything
        raise ConfigError(f"the metric cannot be built: {type(made).__name__}: {made}") from made
    return made


def _typo(entry: Mapping[str, Any]) -> str:
    return hint("class", [key for key in entry if key not in MetricCommon.model_fields]) if entry else ""


def _options(label: str, common: MetricCommon, evaluation: Evaluation) -> MetricOptions:
    prefix = f"{label}_"
    limits = evaluation.thresholds.items()
    subs = {key.removeprefix(prefix): value for key, value in limits if key.startswith(prefix)}
    return MetricOptions(
        threshold=evaluation.thresholds.get(label, common.threshold),
        inverse=common.inverse,
        timeout=common.timeout,
        blocking=common.blocking,
        field_mapping={**evaluation.scoring_key_mapping, **common.field_mapping},
        sub_thresholds={**subs, **common.sub_thresholds},
    )


def build_tree(evaluation: Evaluation, metrics: list[BoundMetric], checker: Checker) -> tuple[Node, ...]:
    """The nodes of `evaluation.model`, children first; labels under `thresholds` and `weights` must be known."""
    nodes: list[Node] = []
    if evaluation.model is not None and evaluation.scoring_strategy == "flat":
        checker.problem(("evaluation", "scoring_strategy"), "found 'flat' with a model (a tree); expected 'tree'")
    if evaluation.model is None and evaluation.scoring_strategy == "tree":
        checker.problem(("evaluation",), "scoring_strategy 'tree' needs `model`: node -> its children")
    for label, below in (evaluation.model or {}).items():
        _add_node(("evaluation", "model", label), below, evaluation, nodes, checker)
    labels = [metric.label for metric in metrics] + [node.label for node in nodes]
    for part in ("thresholds", "weights"):
        for key in getattr(evaluation, part):
            if key not in labels and not any(part == "thresholds" and key.startswith(f"{name}_") for name in labels):
                checker.problem(("evaluation", part, key), f"unknown label {key!r}. {hint(key, labels)}")
    _one_by_chance(nodes, metrics, checker)
    digests = {metric.label: metric.ref.digest for metric in metrics}
    done = checker.guard(("evaluation", "model"), lambda: order_nodes(nodes, digests))
    return done or ()


def _one_by_chance(nodes: list[Node], metrics: list[BoundMetric], checker: Checker) -> None:
    """Note nodes above two metrics that judge by chance: whether both were is decided twice, and not known together."""
    children = {node.label: [child.label for child in node.children] for node in nodes}
    chanced = {metric.label for metric in metrics if metric.spec.by_chance}
    for node in nodes:
        below, seen = list(children[node.label]), set[str]()
        while below:
            label = below.pop()
            if label not in seen:
                seen.add(label)
                below.extend(children.get(label, ()))
        found = sorted(seen & chanced)
        if len(found) > 1:
            checker.problem(
                ("evaluation", "model", node.label),
                f"{', '.join(map(repr, found))} judge by chance, and a node above more than one of them has no "
                "unbiased mean; keep one of them below it",
            )


def _add_node(where: Where, below: object, evaluation: Evaluation, nodes: list[Node], checker: Checker) -> None:
    """Add the node at a place and those below it: a mapping (null or {} for a metric), or a list of labels."""
    label = str(where[-1])
    if isinstance(below, list) and all(isinstance(each, str) for each in below):
        below = dict.fromkeys(below)
    if not isinstance(below, dict) or not any(not key.startswith("_") for key in below):
        checker.problem(where, f"expected children (label: ..., or a list of labels), found {describe_value(below)}")
        return
    children = [key for key in below if not key.startswith("_")]
    settings = {key: value for key, value in below.items() if key.startswith("_")}
    settings.setdefault("_threshold", evaluation.thresholds.get(label))
    kids = tuple(Child(child, evaluation.weights.get(child, 1.0)) for child in children)
    if _settings_are_right(settings, checker, where):
        strategy, excluding = settings.get("_strategy", "weighted_average"), settings.get("_exclude_failed", False)
        nodes.append(Node(label, kids, strategy, settings["_threshold"], excluding))
    for child in children:
        if below[child]:
            _add_node((*where, child), below[child], evaluation, nodes, checker)


def _settings_are_right(settings: Mapping[str, Any], checker: Checker, where: Where) -> bool:
    """Whether a node's `_strategy`, `_threshold` and `_exclude_failed` are; what is not is noted."""
    before = len(checker.problems)
    for key in settings:
        if key not in _NODE_KEYS:
            checker.problem((*where, key), f"unknown key {key!r}. {hint(key, _NODE_KEYS)}")
    strategy = settings.get("_strategy", "min")
    if strategy not in _STRATEGIES:
        known = hint(str(strategy), _STRATEGIES)
        checker.problem((*where, "_strategy"), f"unknown strategy {strategy!r}. {known}")
    threshold = settings.get("_threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | None):
        checker.problem((*where, "_threshold"), f"found {describe_value(threshold)}; expected a number")
    if not isinstance(settings.get("_exclude_failed", False), bool):
        checker.problem(
            (*where, "_exclude_failed"), f"found {describe_value(settings['_exclude_failed'])}; expected a boolean"
        )
    return len(checker.problems) == before
