"""Answers of models as JSON, for caches and recordings: what was measured comes back to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from shared.core.errors import ItemError
from shared.core.results import LMResult

_DEFAULTS = {
    each.name: each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
    for each in dataclasses.fields(LMResult)
}
_TUPLES = ("token_logprobs", "tokens", "top_logprobs", "tool_calls", "passed_over")


def answer_to_dict(answer: LMResult) -> dict[str, Any]:
    """What is not as by default, under the names of the fields; `cached` is about a call, so it is left out."""
    values = {name: getattr(answer, name) for name in _DEFAULTS if name != "cached"}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if name == "text" or value != _DEFAULTS[name]
    }


def answer_from_dict(stored: Mapping[str, Any]) -> LMResult:
    """The answer again. Names that this version does not know are left out.

    Raises:
        ItemError: when what was stored is no answer.
    """
    if not isinstance(stored.get("text"), str):
        raise ItemError(f"a stored answer has no text: {str(stored)[:80]!r}")
    values = {name: value for name, value in stored.items() if name in _DEFAULTS}
    for name in _TUPLES:
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    return LMResult(**values)
