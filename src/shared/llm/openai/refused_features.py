"""Which parameter of a request a server refuses by its name: in `param` or `loc`, or in the text of any body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

SYSTEM_ROLE = "system_role"
"""The feature of messages with the role `system`."""

_NOT_ABOUT_A_PARAMETER = frozenset({401, 402, 408, 409, 413, 429, 502, 503, 504})
_NEVER_LEFT_OUT = frozenset({"model", "messages", "prompt", "input", "tools", "tool_choice", "stream", "body"})
_NAMES = (
    *("logprobs", "top_logprobs", "temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty"),
    *("logit_bias", "response_format", "parallel_tool_calls", "reasoning_effort", "user", "max_completion_tokens"),
    *("max_tokens", "dimensions"),
)
_ENGLISH = frozenset({"stop", "user"})  # names only in quotes
_REFUSED = re.compile(
    r"unsupported|(not|n't) (be )?(currently )?support|not (currently )?(allowed|permitted|enabled|available|accepted)"
    r"|unavailable|unrecogni[sz]ed|unknown (name|field|param|arg)|unexpected (keyword|param|field|arg)|only the default"
    r"|extra_forbidden|extra (inputs|fields)|deprecated|cannot be (used|specified|set)|not compatible|incompatible",
    re.I,
)
_SYSTEM = re.compile(
    r"system[ _-]?(role|messages?|prompts?|instructions?)|role\W{1,4}(does not support )?\W?system\b"
    r"|developer instruction",
    re.I,
)


def find_refused_feature(status: int, body: bytes) -> str | None:
    """The parameter that a server refuses by name, `system_role`, or None when the refusal is about something else,
    such as the value of a parameter or the model.
    """
    if status in _NOT_ABOUT_A_PARAMETER:
        return None
    text = body[:20_000].decode("utf-8", "replace").replace('\\"', '"')
    if status in (400, 422) and "max_completion_tokens" in text and ("max_tokens" in text or not _REFUSED.search(text)):
        return "max_tokens"
    if not _REFUSED.search(text):  # llama.cpp refuses logprobs with a 500, in words of its own
        return "logprobs" if status in (400, 422, 500) and re.search(r"log_?probs", text, re.I) else None
    return _named(text) or (SYSTEM_ROLE if _SYSTEM.search(text) else None)


def _named(text: str) -> str | None:
    try:
        fields = list(_fields(json.loads(text)))
    except (ValueError, RecursionError):
        fields = []
    for field in fields:
        name = re.split(r"[.\[]", field)[0]
        if name in _NAMES:
            return name
    found = [(hit.start(), name) for name in _NAMES if (hit := _pattern(name).search(text))]
    return min(found)[1] if found else next((each for each in fields if _is_parameter(each)), None)


def _fields(value: object) -> Iterator[str]:
    """What stands in `param` and `loc`, at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from _fields(each)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == "param" and isinstance(inner, str):
                yield inner
            elif name == "loc" and isinstance(inner, list):
                yield from (each for each in inner if isinstance(each, str))
            else:
                yield from _fields(inner)


def _is_parameter(name: str) -> bool:
    return name.isidentifier() and name not in _NEVER_LEFT_OUT


def _pattern(name: str) -> re.Pattern[str]:
    if name == "logprobs":
        return re.compile(r"(?<!top_)(?<!\w)log_?probs?(?!\w)", re.I)
    if name in _ENGLISH:
        return re.compile(rf"['\"`]{name}['\"`]")
    return re.compile(rf"(?<![\w./-]){name}(?![\w-])", re.I)  # not in `bytedance/seed-oss`
