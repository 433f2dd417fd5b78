"""Checking plain values against models, with errors that say where, what was found, what was expected, what to do."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, SecretStr, ValidationError, create_model
from pydantic_core import ErrorDetails

from shared.core.errors import ConfigError
from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.core.registry import Registry, hint
from shared.privacy.secret_gate import SecretGate
from shared.privacy.secret_settings import secrets_of_config
from shared.scoring.metric import BoundMetric
from shared.wiring.config.yaml_file import Document, Where

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")


class StrictModel(BaseModel):
    """Base of every model of the configuration: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True, slots=True)
class GivenByName:
    """Marks a parameter that the YAML gives by the name of a part of this `kind`, declared elsewhere in the file; a
    metric it gives by an entry of its own, `class` and parameters.
    """

    kind: type


class Checker:
    """Collects every mistake of one document, so that they are all reported together."""

    def __init__(self, document: Document, secrets: SecretGate | None = None) -> None:
        self.document = document
        self.secrets = secrets or SecretGate()
        self.problems: list[str] = []

    def problem(self, where: Where, text: str) -> None:
        """Note a mistake at a place."""
        self.problems.append(f"{self.document.place(where)}: {text}")

    def raise_any(self) -> None:
        """Stop here when there was a mistake.

        Raises:
            ConfigError: with all of them.
        """
        if self.problems:
            raise ConfigError(*map(self.secrets.redact, self.problems))

    def model(self, model: type[Model], value: object, where: Where) -> Model | None:
        """The value as a model, or None after noting what is wrong with it."""
        try:
            made = model.model_validate(value)
            self.secrets.add(secrets_of_config(made))
            return made
        except ValidationError as error:
            for details in error.errors():
                self._explain(model, details, where)
        return None

    def resolve(self, registry: Registry, name: object, where: Where) -> object:
        """What a name or dotted path stands for, or None after noting why it stands for nothing."""
        if not isinstance(name, str) or not name:
            self.problem(where, f"expected the name of a {registry.kind}, found {describe_value(name)}")
            return None
        try:
            found: object = registry.resolve(name)
            return found
        except ConfigError as error:
            self.problem(where, str(error))
            return None

    def guard(self, where: Where, work: Callable[[], T]) -> T | None:
        """The outcome of `work`, or None after noting the ConfigError that it raised."""
        try:
            return work()
        except ConfigError as error:
            for text in error.problems:
                self.problem(where, text)
            return None

    def _explain(self, model: type[BaseModel], details: ErrorDetails, where: Where) -> None:
        loc = tuple(step for step in details["loc"] if not _is_branch(step, details))
        place = (*where, *loc)
        kind = details["type"]
        if kind == "extra_forbidden":
            owner = _model_at(model, loc[:-1])
            self.problem(place, f"unknown key {loc[-1]!r}. {hint(str(loc[-1]), _keys(owner))}")
        elif kind == "missing":
            owner = _model_at(model, loc[:-1])
            self.problem(place, f"{loc[-1]!r} is missing; expected {_describe_expected(owner, str(loc[-1]))}")
        elif kind == "value_error":
            self.problem(place, details["msg"].removeprefix("Value error, "))
        else:
            found = details["input"]
            described = _kind(found) if _is_secret(model, loc) else describe_value(found)
            self.problem(place, f"found {described}; {_sentence(details)}")


def describe_value(value: object) -> str:
    """A value as an error shows it, with what it is: `'ten' (a string)`."""
    if value is None:
        return "nothing"
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({_kind(value)})"


_TYPE_NAMES: dict[object, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    dict: "a mapping",
    list: "a list",
    type(None): "nothing",
}


def _kind(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)


_WANTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "string": "a string",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "datetime": "a time such as 2026-11-20T08:00:00Z",
}


def _sentence(details: ErrorDetails) -> str:
    wanted = _WANTED.get(details["type"].split("_")[0])
    if wanted is not None and details["type"].endswith(("_type", "_parsing", "_from_float")):
        return f"expected {wanted}"
    message = details["msg"]
    return "expected " + message[len("Input should be ") :] if message.startswith("Input should be ") else message


def _is_branch(step: object, details: ErrorDetails) -> bool:
    """Whether a step of pydantic's location names a branch of a union rather than a key of the user's."""
    return (
        isinstance(step, str) and step != details["loc"][0] and (step in _WANTED or step[:1].isupper() or "[" in step)
    )


def _model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    for step in loc:
        if isinstance(step, str) and step in model.model_fields:
            inner = _inner_model(model.model_fields[step].annotation)
            model = inner or model
    return model


def _is_secret(model: type[BaseModel], loc: tuple[str | int, ...]) -> bool:
    """Whether a place holds what must not be printed, also when it is not what it should be."""
    for step in loc:
        info = model.model_fields.get(str(step))
        if info is not None and _holds_secret(info.annotation):
            return True
        model = _model_at(model, (step,))
    return False


def _holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_holds_secret(each) for each in get_args(annotation))


def _inner_model(annotation: object) -> type[BaseModel] | None:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner_model(each) for each in get_args(annotation))
    return next((each for each in found if each is not None), None)


def _keys(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _describe_expected(model: type[BaseModel], key: str) -> str:
    info = next((i for name, i in model.model_fields.items() if key in (name, i.alias)), None)
    if info is None:
        return "a value"
    return f"{type_name(info.annotation)}{f' ({info.description})' if info.description else ''}"


def type_name(annotation: object) -> str:
    """An annotation in the words of errors and `check`: `an integer`, `a string or nothing`, `one of 'a', 'b'`."""
    plain: dict[object, str] = {
        int: "an integer",
        float: "a number",
        str: "a string",
        bool: "a boolean",
        type(None): "nothing",
    }
    if annotation in plain:
        return plain[annotation]
    origin = get_origin(annotation)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(annotation)))
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(each) for each in get_args(annotation))
    if origin in (list, tuple):
        return "a list"
    return "a mapping" if origin is not None or _inner_model(annotation) else "a value"


def params_model(target: object, parameters: Mapping[str, inspect.Parameter], owner: str) -> type[BaseModel]:
    """The model of a target's parameters: its own `Params`, itself when it is a model, else made of its signature.

    Raises:
        ConfigError: when the signature's annotations cannot be read.
    """
    declared = getattr(target, "Params", None)
    if inspect.isclass(declared) and issubclass(declared, BaseModel):
        return declared
    if inspect.isclass(target) and issubclass(target, BaseModel):
        return target
    try:
        hints = annotations_of(target, parameters)
        fields: dict[str, Any] = {
            name: (_by_name(hints.get(name, Any)), ... if each.default is inspect.Parameter.empty else each.default)
            for name, each in parameters.items()
        }
        return create_model(f"{owner}_params", __base__=StrictModel, **fields)
    except (NameError, TypeError, AttributeError, SyntaxError, PydanticUserError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"{owner}: the types of its parameters cannot be given in YAML: {reason}") from error


def _by_name(hint: object) -> object:
    """The annotation, with a string in place of what the YAML can only name (a language model, an embedding model), and
    a mapping in place of a metric that is part of another.
    """
    if hint is BoundMetric:
        return Annotated[dict[str, Any], GivenByName(BoundMetric)]
    for kind in (LMAdapter, Embedder):
        if hint is kind:
            return Annotated[str, GivenByName(kind)]
        if kind in get_args(hint):
            return Annotated[str | None, GivenByName(kind)]
    return hint


def annotations_of(target: object, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The annotations of these parameters alone: others may name what only a type checker imports."""
    namespace = vars(sys.modules.get(target.__module__, types))
    texts = {name: each.annotation for name, each in parameters.items() if isinstance(each.annotation, str)}
    plain = {name: each.annotation for name, each in parameters.items() if name not in texts}
    given = {name: kind for name, kind in plain.items() if kind is not inspect.Parameter.empty}
    return given | {name: eval(text, dict(namespace)) for name, text in texts.items()}
