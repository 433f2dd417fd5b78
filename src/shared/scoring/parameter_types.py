"""Types of parameters that are checked before a run, when the YAML is read; a plain call checks nothing of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Le

from shared.core.records import FIELDS
from shared.core.registry import hint


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """A check that pydantic makes after its own; pydantic is imported only then."""

    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[Any], Any]) -> object:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))


class ProjectFile(str):
    """A path of a file of the project. `identity` is the path as it was written, whatever it was resolved to: it is
    what goes into digests, together with the file's content.
    """

    identity: str

    def __new__(cls, path: str, identity: str | None = None) -> Self:
        made = super().__new__(cls, path)
        made.identity = path if identity is None else identity
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Callable[[Any], Any]) -> object:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))


def _check_regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"found {pattern!r}, which is no regular expression: {error}") from error
    return pattern


def _check_bounds(found: list[int]) -> list[int]:
    if len(found) != 2 or not 0 <= found[0] <= found[1]:
        raise ValueError(f"found {found!r}; expected [lowest, highest] with 0 <= lowest <= highest")
    return found


def _check_not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError(f"found {text!r}; expected a text that is not blank")
    return text


def _check_timed_regex(pattern: str) -> str:
    import regex

    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"found {pattern!r}, which is no regular expression: {error}") from error
    return pattern


def _check_words(words: list[str]) -> list[str]:
    wrong = next((each for each in words if not each.strip()), None)
    if not words or wrong is not None:
        raise ValueError(f"found {words!r}; expected at least one word or phrase, none of them blank")
    return words


def _check_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Checked against the meta-schema that it names, 2020-12 where it names none; nothing is fetched."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"this is no JSON schema: at {error.json_path}: {error.message[:200]}") from error
    far = next((each for each in _find_references(schema) if not each.startswith("#")), None)
    if far is not None:
        raise ValueError(
            f"found the reference {far!r}; expected references inside the schema only, such as '#/$defs/x'"
        )
    return schema


def _find_references(value: object) -> list[str]:
    if isinstance(value, Mapping):
        own = [each for key, each in value.items() if key in ("$ref", "$dynamicRef") and isinstance(each, str)]
        return own + [found for each in value.values() for found in _find_references(each)]
    return [found for each in value for found in _find_references(each)] if isinstance(value, list) else []


def _check_item_path(path: str) -> str:
    root = path.split(".")[0]
    if root not in FIELDS or not all(path.split(".")):
        raise ValueError(
            f"found {path!r}; expected a field of an item, or a dotted path into one. {hint(root, FIELDS)}"
        )
    return path


def _check_language(code: str) -> str:
    from shared.scoring.text.language_detection import language_codes, primary_language

    if primary_language(code) not in language_codes():
        raise ValueError(f"found {code!r}; expected the code (ISO 639) of a known language, such as 'en' or 'pt-BR'")
    return primary_language(code)


def _check_languages(found: list[str]) -> list[str]:
    made = sorted({_check_language(each) for each in found})
    if len(made) < 2:
        raise ValueError(f"found {found!r}; expected at least two languages to choose from")
    return made


AtLeastOne = Annotated[int, Ge(1)]
Temperature = Annotated[float, Ge(0), Le(2)]
NotNegative = Annotated[int, Ge(0)]
Regex = Annotated[str, ValueCheck(_check_regex)]
Bounds = Annotated[list[int], ValueCheck(_check_bounds)]
NotBlank = Annotated[str, ValueCheck(_check_not_blank)]
Positive = Annotated[float, Gt(0)]
TimedRegex = Annotated[str, ValueCheck(_check_timed_regex)]
Words = Annotated[list[str], ValueCheck(_check_words)]
JsonSchema = Annotated[dict[str, Any], ValueCheck(_check_json_schema)]
ItemPath = Annotated[str, ValueCheck(_check_item_path)]
Language = Annotated[str, ValueCheck(_check_language)]
Languages = Annotated[list[str], ValueCheck(_check_languages)]
