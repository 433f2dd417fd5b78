"""What all bridges share: finding a vendor's class, its parameters as the YAML gives them, and the metric around it."""

from __future__ import annotations

import enum
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from shared.core.best_effort import attempt
from shared.core.errors import BadAnswer, ConfigError
from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.registry import hint, install_command, load
from shared.core.results import Score
from shared.scoring.bridges.bridged_model import BridgeJudge
from shared.scoring.bridges.import_guard import guarded_import, vendor_guard
from shared.scoring.metric import MetricSpec

EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Vendor:
    """Whose metrics they are. `package` is what is imported, `distribution` what is installed, `home` the module that
    lists the metrics. `quiet` are environment variables under which the library keeps to itself; they are set while
    its code runs, and only then. `hidden` parameters of its classes are not for the YAML.
    """

    prefix: str
    package: str
    distribution: str
    home: str
    quiet: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def import_module(self, module: str | None = None) -> Any:
        """A module of the vendor's, the one with the metrics by default, imported under guard.

        Raises:
            ConfigError: when the package is not installed, or cannot be imported.
        """
        wanted = module or self.home
        if wanted in sys.modules:
            return sys.modules[wanted]
        if attempt(importlib.util.find_spec, self.package) in (None, []):
            raise ConfigError(f"needs the package {self.distribution}: {install_command(self.prefix)}")
        with guarded_import(self.package, self.quiet):
            found = attempt(importlib.import_module, wanted)
        if isinstance(found, Exception):
            raise ConfigError(f"{wanted!r} cannot be imported: {type(found).__name__}: {found}") from found
        return found

    def version(self) -> str:
        """The version that is installed: part of the metrics' digests, so an upgrade is a new metric."""
        found = attempt(importlib.metadata.version, self.distribution)
        return (
            str(getattr(sys.modules.get(self.package), "__version__", "unknown"))
            if isinstance(found, Exception)
            else found
        )

    def find(self, name: str, is_metric: Callable[[Any], bool]) -> Any:
        """What a name of `home`, or a dotted path, stands for.

        Raises:
            ConfigError: when there is nothing of that name, or it is not one of the vendor's metrics.
        """
        home = self.import_module()
        if "." in name or ":" in name:
            with guarded_import(self.package, self.quiet):
                found = load(name)
        else:
            known = [each for each in vars(home) if not each.startswith("_") and is_metric(getattr(home, each))]
            found = getattr(home, name, None)
            if name not in known:
                raise ConfigError(f"{self.home} has no metric {name!r}. {hint(name, known)}")
        if not is_metric(found):
            raise ConfigError(f"{name!r} is no metric of {self.distribution} that can be bridged")
        return found


class BridgedMetric(ABC):
    """A vendor's metric as ours. Theirs is built anew for each item: vendors keep results on their objects.

    A class of this kind is made for each of their classes by `make_bridged_metric`; its parameters are theirs, and
    `model` and `embedder` where theirs ask one. `takes` names everything that the constructor of theirs takes.
    """

    vendor: ClassVar[Vendor]
    theirs: ClassVar[Any]
    takes: ClassVar[frozenset[str]]
    readers: ClassVar[Mapping[str, Callable[[Any], Any]]]

    def __init__(self, **params: Any) -> None:
        self._model: LMAdapter | None = params.pop("model", None)
        self._embedder: Embedder | None = params.pop("embedder", None)
        self._params = {name: self.readers[name](value) for name, value in params.items()}
        with vendor_guard(self.vendor.quiet):
            self.build(BridgeJudge(self._model, self._embedder))  # what theirs refuses is refused before any work

    async def __call__(self, item: DatasetItem) -> Score | None:
        """Judge the item with an object of theirs; None where the item lacks what it needs."""
        judge = BridgeJudge(self._model, self._embedder)
        with vendor_guard(self.vendor.quiet):
            try:
                score = await self.measure(self.build(judge), item, judge)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                if judge.last is None:
                    raise
                told = f"{type(error).__name__}: {error}"  # of a record without the field that theirs reads, mostly
                raise BadAnswer(f"{self.vendor.distribution} cannot use the judge's answers: {told[:200]}") from error
            finally:
                judge.raise_final()  # theirs may have swallowed it, or tried again
        if score is not None and judge.error is not None and score.value != score.value:
            raise judge.error  # NaN is how some say that their model gave nothing
        return score if score is None else replace(score, value=self._undo_rounding(score.value))

    def _undo_rounding(self, value: object) -> Any:
        """A value without what floating point has added: a cosine of 1.0000000000000002 is 1."""
        spec: MetricSpec = type(self).__metric__  # type: ignore[attr-defined]  # put there by `make_bridged_metric`
        for limit in (spec.low, spec.high):
            if limit is not None and isinstance(value, float) and abs(value - limit) < 1e-9:
                return limit
        return value

    @abstractmethod
    def build(self, judge: BridgeJudge) -> Any:
        """A new object of theirs that asks this judge."""

    @abstractmethod
    async def measure(self, metric: object, item: DatasetItem, judge: BridgeJudge) -> Score | None:
        """What their object says of the item."""


@dataclass(frozen=True, slots=True)
class BridgeSpec:
    """What a bridge knows of a class of its vendor's; `model` and `embedder` None ask none."""

    model: Literal["required", "optional"] | None = None
    embedder: Literal["required", "optional"] | None = None
    threshold: float | None = None
    inverse: bool = False
    low: float | None = 0.0
    high: float | None = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)


def make_bridged_metric(base: type[BridgedMetric], theirs: Any, name: str, facts: BridgeSpec) -> type[BridgedMetric]:
    """The metric class for one of theirs: labelled, with their parameters as its signature.

    Raises:
        ConfigError: when one of theirs cannot do without a parameter that no YAML can give.
    """
    given = _read_parameters(theirs, base.vendor.hidden)
    signature = [each for each, _ in given.values()]
    asked: tuple[tuple[str, Any, str | None], ...]
    asked = (("model", LMAdapter, facts.model), ("embedder", Embedder, facts.embedder))
    for part, port, need in asked:
        if need is not None:
            required = need == "required"
            signature.append(_make_parameter(part, port if required else port | None, EMPTY if required else None))
    doc = (inspect.getdoc(theirs) or "").split("\n")[0]
    spec = MetricSpec(
        f"{base.vendor.prefix}:{name}",
        base.vendor.version(),
        facts.threshold,
        facts.inverse,
        facts.low,
        facts.high,
        summary=doc,
    )
    body = {
        "__doc__": doc or f"{name} of {base.vendor.distribution}.",
        "__module__": base.__module__,
        "__metric__": spec,
        "__signature__": inspect.Signature(signature),
        "theirs": staticmethod(theirs),
        "takes": frozenset(inspect.signature(theirs).parameters),
        "readers": {each: read for each, (_, read) in given.items()},
        **facts.extra,
    }
    return type(name, (base,), body)


def _make_parameter(name: str, kind: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _read_parameters(theirs: Any, hidden: frozenset[str]) -> dict[str, tuple[inspect.Parameter, Callable[[Any], Any]]]:
    """Their parameters that a YAML can give, each with what turns the YAML's value into theirs."""
    found: dict[str, tuple[inspect.Parameter, Callable[[Any], Any]]] = {}
    for name, each in inspect.signature(theirs).parameters.items():
        if name in hidden or name.startswith("_") or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            continue
        kind, read = _find_yaml_type(_read_annotation(theirs, each))
        if kind is None:
            if each.default is EMPTY:
                raise ConfigError(f"{_class_name(theirs)} cannot be given in YAML: its parameter {name!r} is an object")
            continue
        default = each.default.value if isinstance(each.default, enum.Enum) else each.default
        found[name] = (_make_parameter(name, kind, default), read)
    return found


def _class_name(theirs: object) -> str:
    return str(getattr(theirs, "__name__", theirs))


def _read_annotation(theirs: object, each: inspect.Parameter) -> object:
    """What type a parameter has; text is read in its module, and what cannot be read there is an object."""
    kind = each.annotation
    if isinstance(kind, str):
        space = dict(vars(sys.modules.get(theirs.__module__, types)))
        kind = attempt(lambda text: eval(text, space), kind)
        return object if isinstance(kind, Exception) else kind
    return Any if kind is EMPTY else kind


def _keep_value(value: object) -> object:
    return value


def _find_yaml_type(kind: object) -> tuple[Any, Callable[[Any], Any]]:
    """A type as a YAML can give it and the way back to theirs; None where it cannot."""
    if kind in (Any, bool, int, float, str, list, dict, type(None)):
        return kind, _keep_value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Literal[tuple(each.value for each in kind)], kind
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return kind, _keep_value
    if origin in (Union, types.UnionType):
        return _find_union_type(inner)
    if origin in (list, tuple, dict):
        read = [_find_yaml_type(each) for each in inner if each is not ...]
        return _find_collection_type(origin, read)
    return None, _keep_value


def _find_union_type(kinds: tuple[Any, ...]) -> tuple[Any, Callable[[Any], Any]]:
    usable = [found for found in map(_find_yaml_type, kinds) if found[0] is not None]
    if not [kind for kind, _ in usable if kind is not type(None)]:
        return None, _keep_value
    readers = [read for kind, read in usable if read is not _keep_value]
    read = readers[0] if readers else _keep_value
    joined = reduce(or_, [None if kind is type(None) else kind for kind, _ in usable])
    return joined, lambda value: None if value is None else read(value)


def _find_collection_type(
    origin: type, read: list[tuple[Any, Callable[[Any], Any]]]
) -> tuple[Any, Callable[[Any], Any]]:
    if any(kind is None for kind, _ in read) or not read:
        return None, _keep_value
    if origin is dict:
        return dict[read[0][0], read[1][0]], _keep_value  # type: ignore[misc]  # made of what was found
    inner = read[0][1]
    return list[read[0][0]], lambda values: [inner(each) for each in values]  # type: ignore[misc]


def first_present(*values: object) -> object:
    """The first value that is there: neither None nor empty."""
    return next((each for each in values if each is not None and each not in ("", (), [])), None)


def as_text_list(values: tuple[str, ...] | None) -> list[str] | None:
    """Texts as vendors take them; an empty list is none."""
    return list(values) if values else None


def format_transcript(item: DatasetItem) -> str | None:
    """The conversation as text, a line a message; None where there is none."""
    if item.conversation is None:
        return None
    return "\n".join(f"{each.role}: {each.content}" for each in item.conversation.messages)
