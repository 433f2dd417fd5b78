"""Reading a verdict: one JSON object of exactly the shape that was asked for, and nothing else.

Tolerated are white space around it and one Markdown code fence around the whole. Everything else, such as a sentence
before it, a second object, an unknown or doubled key, a number written as a text, is a failure with its kind: a
parser that looks for *some* JSON in an answer finds the one that the judged text has smuggled into it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.scoring.judging.judge_errors import (
    JudgeEmpty,
    JudgeError,
    JudgeHtml,
    JudgeMalformed,
    JudgeNotFinite,
    JudgeOutOfScale,
    JudgeProse,
    quote_excerpt,
)

_FENCED = re.compile(r"\A```(?:json|JSON)?[ \t]*\n(.*?)\n?[ \t]*```\Z", re.DOTALL)
_HTML = re.compile(r"\A<(?:!doctype|!--|\?xml|html|head|body|title|div|p|h\d|center|script)\b", re.IGNORECASE)
_NO_NUMBER = re.compile(r"\A[-+]?(?:nan|inf|infinity)\Z", re.IGNORECASE)
_LONGEST = 1_000_000  # characters

Schema = Mapping[str, Any]


def object_schema(properties: Mapping[str, Schema]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these keys, in this order."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def read_verdict(text: str, schema: Schema) -> dict[str, Any]:
    """The verdict in an answer, checked against the schema of an object (see `check_value`).

    Raises:
        JudgeError: `JudgeEmpty`, `JudgeHtml`, `JudgeProse`, `JudgeMalformed`, `JudgeNotFinite` or `JudgeOutOfScale`.
    """
    found: dict[str, Any] = check_value(_parse_json(strip_code_fence(text)), schema, "")
    return found


def strip_code_fence(text: str) -> str:
    """The answer without white space and one code fence around it."""
    text = text.strip()
    fenced = _FENCED.match(text)
    return fenced.group(1).strip() if fenced else text


def _parse_json(text: str) -> Any:
    if not text:
        raise JudgeEmpty("the judge's answer is empty; expected a JSON object")
    if _HTML.match(text):
        raise JudgeHtml(f"the judge's answer is a page; expected a JSON object. Found {quote_excerpt(text)}")
    if len(text) > _LONGEST:
        raise JudgeProse(
            f"the judge's answer has {len(text):,} characters; expected a JSON object. Found {quote_excerpt(text)}"
        )
    try:
        return json.loads(text, object_pairs_hook=_make_object, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise JudgeMalformed(f"the judge's answer is nested too deeply. Found {quote_excerpt(text)}") from error
    except ValueError as error:
        if _NO_NUMBER.match(text):
            raise JudgeNotFinite(f"the judge's answer is {quote_excerpt(text)}; expected a JSON object") from error
        raise JudgeProse(_describe_prose(text, error)) from error


def _describe_prose(text: str, error: ValueError) -> str:
    what = "has something after its JSON" if str(error).startswith("Extra data") else "is not JSON alone"
    return f"the judge's answer {what}; expected one JSON object. Found {quote_excerpt(text)}"


def _make_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JudgeMalformed(f"the judge's answer has the key {quote_excerpt(twice)} more than once")
    return made


def _refuse_constant(name: str) -> float:
    raise JudgeNotFinite(f"the judge's answer has {name} for a number")


def check_value(value: Any, schema: Schema, where: str) -> Any:
    """The value, when it fits; whole numbers such as 8.0 become integers where those are asked for.

    Understood are `type` (object, array, string, integer, number, boolean), `properties` (all of them required, no
    others allowed), `items`, `enum`, `minimum`, `maximum`, `minItems`, `maxItems`.

    Raises:
        JudgeError: saying where in the answer, what was found and what was expected.
    """
    kind = schema["type"]
    if kind == "object":
        return _check_object(value, schema, where)
    if kind == "array":
        return _check_array(value, schema, where)
    if kind in ("integer", "number"):
        value = _check_number(value, kind, where)
    elif type(value) is not {"string": str, "boolean": bool}[kind]:
        raise _wrong_type(where, value, f"a {kind}")
    if "enum" in schema and value not in schema["enum"]:
        raise JudgeOutOfScale(
            f"{_describe_place(where)} is {quote_excerpt(value)}; expected one of {_join_names(schema['enum'])}"
        )
    if isinstance(value, str):
        return replace_unstorable(value)
    return value if isinstance(value, bool) else _check_bounds(value, schema, where)


def replace_unstorable(text: str) -> str:
    """The text with halves of surrogate pairs and NUL, which no store can hold, replaced by the mark for that."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def _check_object(value: object, schema: Schema, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(where, value, "an object")
    wanted: Mapping[str, Schema] = schema["properties"]
    unknown = next((name for name in value if name not in wanted), None)
    if unknown is not None:
        raise JudgeMalformed(
            f"{_describe_place(where)} has an unknown key {quote_excerpt(unknown)}; expected {_join_names(wanted)}"
        )
    missing = next((name for name in wanted if name not in value), None)
    if missing is not None:
        raise JudgeMalformed(f"{_describe_place(where)} has no {missing!r}; expected {_join_names(wanted)}")
    return {name: check_value(value[name], inner, f"{where}.{name}") for name, inner in wanted.items()}


def _check_array(value: object, schema: Schema, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong_type(where, value, "an array")
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    if not least <= len(value) <= most:
        raise JudgeMalformed(f"{_describe_place(where)} has {len(value)} entries; expected {least} to {most}")
    return [check_value(each, schema["items"], f"{where}[{number}]") for number, each in enumerate(value)]


def _check_number(value: object, kind: str, where: str) -> int | float:
    if isinstance(value, str) and _NO_NUMBER.match(value.strip()):
        raise JudgeNotFinite(f"{_describe_place(where)} is {quote_excerpt(value)}; expected a number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(where, value, f"a{'n' if kind == 'integer' else ''} {kind}")
    if isinstance(value, float) and not math.isfinite(value):
        raise JudgeNotFinite(f"{_describe_place(where)} is {value!r}; expected a number")
    if kind == "integer" and isinstance(value, float):
        if not value.is_integer():
            raise JudgeOutOfScale(f"{_describe_place(where)} is {value!r}; expected a whole number")
        return int(value)
    return value


def _check_bounds(value: int | float, schema: Schema, where: str) -> int | float:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if not low <= value <= high:
        raise JudgeOutOfScale(f"{_describe_place(where)} is {quote_excerpt(value)}; expected {low:g} to {high:g}")
    return value


def _wrong_type(where: str, value: object, expected: str) -> JudgeError:
    return JudgeMalformed(
        f"{_describe_place(where)} is {type(value).__name__} {quote_excerpt(value)}; expected {expected}"
    )


def _describe_place(where: str) -> str:
    return f"the judge's {where.lstrip('.')!r}" if where else "the judge's answer"


def _join_names(names: Mapping[str, Any] | Sequence[Any]) -> str:
    return ", ".join(repr(name) for name in names)
