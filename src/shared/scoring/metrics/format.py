"""The answer's form: JSON, Markdown, length, and structure against a JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne, JsonSchema, NotNegative

_FENCED = re.compile(r"\s*```[a-zA-Z]*[ \t]*\n(.*)```\s*", re.DOTALL)
_MOST_ERRORS = 10


class _NotJson(Exception):
    """The text is no JSON; the message says where and why."""


def _parse_json(text: str, fenced: bool) -> Any:
    """The value that a text holds, strictly by RFC 8259: `NaN` and `Infinity` are no JSON."""
    inside = _FENCED.fullmatch(text) if fenced else None
    try:
        return json.loads(inside[1] if inside else text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _NotJson("nested too deeply to be read") from None
    except ValueError as error:
        raise _NotJson(str(error)) from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _json_kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "number")


@metric(fields={"text": "actual_output"}, threshold=0.5)
def format_json(text: str, *, kind: Literal["any", "object", "array"] = "any", fenced: bool = False) -> Score:
    """1 when the whole answer is JSON, else 0."""
    try:
        found = _json_kind(_parse_json(text, fenced))
    except _NotJson as error:
        return Score(0.0, f"not JSON: {error}")
    return Score(float(kind in ("any", found)), f"JSON: {found}", {"kind": found})


@metric(fields={"text": "actual_output"}, threshold=0.5)
def format_schema(text: str, *, json_schema: JsonSchema, fenced: bool = False) -> Score:
    """1 when the answer is JSON that fits a JSON schema, else 0."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry

    try:
        value = _parse_json(text, fenced)
    except _NotJson as error:
        return Score(0.0, f"not JSON: {error}")
    validator = validator_for(json_schema)(json_schema, registry=Registry())  # an empty one: nothing is ever fetched
    errors = [error for error, _ in zip(validator.iter_errors(value), range(_MOST_ERRORS), strict=False)]
    worst = best_match(errors)
    if worst is None:
        return Score(1.0, "fits the schema")
    places = [error.json_path for error in errors]
    return Score(0.0, f"at {worst.json_path}: {worst.message[:200]}", {"places": places})


_HEADER = re.compile(r" {0,3}#{1,6}(?:[ \t]+\S|[ \t]*$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*$")
_LIST = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def _prose_lines(text: str) -> Iterator[str]:
    """The lines outside of fenced code. A fence that is never closed goes on to the end."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line[found.end() :].strip():
                fence = ""
        elif found:
            fence = found[1]
        else:
            yield line


@metric(fields={"text": "actual_output"}, threshold=1.0)
def format_markdown(text: str) -> Score:
    """0.5 for a Markdown header plus 0.5 for a list."""
    headers = lists = 0
    before = ""
    for line in _prose_lines(text):
        item = _LIST.match(line) is not None and _RULE.match(line) is None
        underlined = _UNDERLINE.match(line) is not None and bool(before.strip()) and not _LIST.match(before)
        headers += _HEADER.match(line) is not None or underlined
        lists += item
        before = "" if item or underlined else line
    found = {"headers": headers, "list_items": lists}
    return Score((bool(headers) + bool(lists)) / 2, f"{headers} headers, {lists} items of lists", found)


_TOKEN = re.compile(r"\w+|[^\w\s]")


@metric(needs=("actual_output",), reads=("actual_output", "token_logprobs"), threshold=1.0)
def format_length(
    item: DatasetItem,
    *,
    min_tokens: NotNegative = 0,
    max_tokens: AtLeastOne | None = None,
    count_by: Literal["text", "model"] = "text",
) -> Score | None:
    """1 when the answer has as many tokens as it may, else in proportion to how far it misses the bound."""
    if max_tokens is not None and max_tokens < min_tokens:
        raise ValueError(f"format_length: found min_tokens {min_tokens} above max_tokens {max_tokens}")
    if count_by == "model":
        if item.token_logprobs is None:
            return None
        count = len(item.token_logprobs)
    else:
        count = sum(1 for _ in _TOKEN.finditer(item.actual_output or ""))
    value = 1.0
    if count < min_tokens:
        value = count / min_tokens
    elif max_tokens is not None and count > max_tokens:
        value = max_tokens / count
    return Score(value, f"{count} tokens", {"tokens": count})
