"""Metrics: plain functions or small classes, labelled by `@metric`, bound to a user's label by `bind`.

    @metric(version="1", fields={"pred": "actual_output", "gold": "expected_output"}, threshold=0.5)
    def exact_match(pred: str, gold: str, *, ignore_case: bool = False) -> float: ...

    @metric(version="2", needs=("actual_output",))
    def answers_politely(item: DatasetItem) -> Score: ...

With `fields` the function takes values of the item and stays callable as it is; without, it takes the item. Its
keyword-only arguments are its parameters in the YAML. A class is built with its parameters and then called. A metric
whose inputs are missing on an item, or that returns None, does not apply to that item. What else decides its
scores (the text of a prompt, say) a class gives as `identity`, a mapping that goes into its digest. Nothing is
registered at import: `@metric` only labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from shared.core.digests import metric_digest
from shared.core.errors import ConfigError
from shared.core.records import CONTENT_FIELDS, FIELDS, DatasetItem, coerce
from shared.core.registry import hint
from shared.core.results import MetricRef, Score

MetricAnswer = Score | float | None
MetricCall = Callable[[DatasetItem], MetricAnswer | Awaitable[MetricAnswer]]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """All facts about a metric's class, in one place.

    `fields` maps arguments to dotted paths of the item, `needs` names fields without which it does not apply,
    `reads` the fields it looks at (for content digests). `low` and `high` bound its values, None where unbounded.
    `inverse` metrics pass below their threshold. `parts` are default thresholds of its sub-metrics. `by_chance`
    metrics judge some items only, by chance (see `Score.chance`). `path` stands in the digest for `module:name`: a
    metric that moves keeps the one it had, so that its stored scores stay its own.
    """

    name: str
    version: str = "1"
    threshold: float | None = None
    inverse: bool = False
    low: float | None = 0.0
    high: float | None = 1.0
    fields: Mapping[str, str] | None = None
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = CONTENT_FIELDS
    blocking: bool = False
    parts: Mapping[str, float] = field(default_factory=dict)
    by_chance: bool = False
    summary: str = ""
    path: str | None = None


def metric(**facts: object) -> Callable[[F], F]:
    """Label a function or class as a metric; the facts are the fields of `MetricSpec`. Nothing else happens.

    Raises:
        ConfigError: at once, for a fact that does not exist or a path that is no field of an item.
    """
    unknown = [name for name in facts if name not in MetricSpec.__dataclass_fields__]
    if unknown:
        raise ConfigError(f"@metric: unknown fact {unknown[0]!r}. {hint(unknown[0], MetricSpec.__dataclass_fields__)}")

    def label(target: F) -> F:
        target.__metric__ = _make_spec(target, facts)  # type: ignore[attr-defined]  # a label on a function
        return target

    return label


def spec_of(target: object) -> MetricSpec:
    """The facts about a metric; one that was never labelled takes the item and has the defaults.

    Raises:
        ConfigError: when the target cannot be called.
    """
    if not callable(target) or not hasattr(target, "__qualname__"):
        raise ConfigError(f"expected a metric (a function or class), found {type(target).__name__} {target!r}")
    found = getattr(target, "__metric__", None)
    return found if isinstance(found, MetricSpec) else _make_spec(target, {})


def _make_spec(target: Callable[..., Any], facts: Mapping[str, Any]) -> MetricSpec:
    fields: Mapping[str, str] | None = facts.get("fields")
    paths = tuple((fields or {}).values()) + tuple(facts.get("needs", ()))
    roots = tuple(dict.fromkeys(path.split(".")[0] for path in paths))
    wrong = next((root for root in roots if not hasattr(DatasetItem, root)), None)
    if wrong is not None:
        raise ConfigError(f"@metric: an item has no field {wrong!r}. {hint(wrong, FIELDS)}")
    reads = roots if fields and set(roots) <= set(FIELDS) else CONTENT_FIELDS  # what is derived may come from anywhere
    doc = (inspect.getdoc(target) or "").split("\n")[0]
    return MetricSpec(**({"name": target.__name__, "reads": reads, "summary": doc} | dict(facts)))


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """What any metric takes in the YAML besides its own parameters.

    `timeout` is in seconds and holds for coroutines and blocking metrics. `field_mapping` reads a field from another
    dotted path. `sub_thresholds` are by the sub-metric's name.
    """

    threshold: float | None = None
    inverse: bool | None = None
    timeout: float | None = None
    blocking: bool | None = None
    field_mapping: Mapping[str, str] = field(default_factory=dict)
    sub_thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BoundMetric:
    """A metric under the user's label. `call` takes an item; where `is_async`, what is not None is to be awaited."""

    ref: MetricRef
    spec: MetricSpec
    call: MetricCall
    threshold: float | None
    inverse: bool
    timeout: float | None
    is_async: bool
    blocking: bool
    reads: tuple[str, ...]
    sub_thresholds: Mapping[str, float]
    target: Any
    params: Mapping[str, Any]
    field_mapping: Mapping[str, str]

    @property
    def label(self) -> str:
        """The user's name for it."""
        return self.ref.label

    @property
    def identity(self) -> str:
        """What it adds to the digest of a metric that is made of it."""
        return self.ref.digest

    def passes(self, value: float) -> bool | None:
        """Whether a value passes: at or above the threshold, or below it for an inverse metric; None without one."""
        if self.threshold is None:
            return None
        return value < self.threshold if self.inverse else value >= self.threshold


def user_parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters a user may set: keyword-only arguments of a function, arguments of a class's constructor."""
    if inspect.isclass(target):
        found = list(inspect.signature(target).parameters.values())
        rest = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return {each.name: each for each in found if each.kind not in rest}
    found = list(inspect.signature(target).parameters.values())
    return {each.name: each for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY}


def bind(
    target: Callable[..., Any],
    label: str,
    params: Mapping[str, Any] | None = None,
    options: MetricOptions | None = None,
) -> BoundMetric:
    """A metric under a label, with its own parameters and options. Parameters are taken to be checked already.

    Raises:
        ConfigError: when a timeout is asked of a metric that cannot be given one, or a mapped field does not exist.
    """
    params, options = dict(params or {}), options or MetricOptions()
    spec = spec_of(target)
    wrong = next((name for name in options.field_mapping if name not in FIELDS), None)
    if wrong is not None:
        raise ConfigError(f"metric {label!r}: field_mapping: an item has no field {wrong!r}. {hint(wrong, FIELDS)}")
    ready = _build_callable(target, params)
    call = _with_mapping(_with_needs(_on_fields(ready, target, spec), spec), options.field_mapping)
    body = target.__call__ if inspect.isclass(target) else target
    is_async = inspect.iscoroutinefunction(body)
    blocking = spec.blocking if options.blocking is None else options.blocking
    if options.timeout is not None and not (is_async or blocking):
        raise ConfigError(
            f"metric {label!r}: a timeout cannot stop a synchronous metric; add 'blocking: true' to run it in a "
            "process that can be killed, or take the timeout away"
        )
    identity = _digest_params(target, params) | dict(getattr(ready, "identity", {}))
    identity |= {"field_mapping": dict(options.field_mapping)} if options.field_mapping else {}
    return BoundMetric(
        ref=MetricRef(
            label, spec.name, spec.version, metric_digest(spec.path or _dotted_path(target), spec.version, identity)
        ),
        spec=spec,
        call=call,
        threshold=getattr(ready, "threshold", spec.threshold) if options.threshold is None else options.threshold,
        inverse=spec.inverse if options.inverse is None else options.inverse,
        timeout=options.timeout,
        is_async=is_async,
        blocking=blocking and not is_async,
        reads=_mapped_reads(getattr(ready, "reads", spec.reads), options.field_mapping),
        sub_thresholds=dict(spec.parts) | dict(options.sub_thresholds),
        target=target,
        params=params,
        field_mapping=dict(options.field_mapping),
    )


def _digest_params(target: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, object]:
    """What the parameters add to the digest. One that came to the metric later (`added_parameters`) adds nothing while
    it is not set, so that stored scores keep theirs.
    """
    added = getattr(target, "added_parameters", ())
    return {name: _digest_value(value) for name, value in params.items() if name not in added or value is not None}


def _digest_value(value: Any) -> object:
    """What a parameter adds to the digest: a model its name, what has an `identity` that, the rest itself."""
    if hasattr(value, "complete_with_logprobs") or hasattr(value, "embed"):
        return value.name
    return getattr(value, "identity", value)


def _build_callable(target: Callable[..., Any], params: Mapping[str, Any]) -> Callable[..., Any]:
    """The target with its parameters given: an object of a class, a function with them filled in, or as it is."""
    build: Callable[..., Any] = target
    if inspect.isclass(target):
        return build(**params)  # type: ignore[no-any-return]  # a metric class's object, called like a function
    return partial(build, **params) if params else build


def _mapped_reads(reads: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, ...]:
    """The fields looked at, those that a mapping stands in for replaced by the roots of its paths."""
    kept = [name for name in reads if name not in mapping]
    return tuple(dict.fromkeys([*kept, *(path.split(".")[0] for path in mapping.values())]))


def _dotted_path(target: Callable[..., Any]) -> str:
    return f"{target.__module__}:{target.__qualname__}"


def _on_fields(ready: Callable[..., Any], target: Callable[..., Any], spec: MetricSpec) -> MetricCall:
    """A call on an item for a function on values; values that the function cannot do without must be there."""
    if spec.fields is None:
        return ready
    defaults = inspect.signature(target.__call__ if inspect.isclass(target) else target).parameters
    names = tuple(spec.fields)
    wrong = next((name for name in names if name not in defaults), None)
    if wrong is not None:
        raise ConfigError(f"@metric: {target.__qualname__} has no argument {wrong!r}. {hint(wrong, defaults)}")
    required = tuple(i for i, name in enumerate(names) if defaults[name].default is inspect.Parameter.empty)
    read = _make_reader(tuple(spec.fields.values()))
    first = names == tuple(defaults)[: len(names)] and not inspect.isclass(target)

    def positional(item: DatasetItem) -> Any:
        values = read(item)
        for i in required:
            if values[i] is None:
                return None
        return ready(*values)

    def by_name(item: DatasetItem) -> Any:
        values = read(item)
        if any(values[i] is None for i in required):
            return None
        return ready(**dict(zip(names, values, strict=True)))

    return positional if first else by_name


def _make_reader(paths: tuple[str, ...]) -> Callable[[DatasetItem], tuple[Any, ...]]:
    if all("." not in path for path in paths):
        get = attrgetter(*paths)
        return get if len(paths) > 1 else lambda item: (get(item),)
    return lambda item: tuple(item.get(path) for path in paths)


def _with_needs(call: MetricCall, spec: MetricSpec) -> MetricCall:
    if not spec.needs:
        return call
    read = _make_reader(spec.needs)
    return lambda item: None if None in read(item) else call(item)


def _with_mapping(call: MetricCall, mapping: Mapping[str, str]) -> MetricCall:
    if not mapping:
        return call
    pairs = tuple(mapping.items())
    return lambda item: call(replace(item, **{name: coerce(name, item.get(path)) for name, path in pairs}))
