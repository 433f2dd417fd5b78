"""How many tokens a text is, for those who have no tokenizer: a number that it cannot exceed, and a likely one.

Byte-level BPE and SentencePiece with byte fallback, which all models of today are built on, make at least one byte of
UTF-8 of each token, so a text never has more tokens than bytes, in any language. English has about 4.2 bytes a token;
three is what is assumed where no server counts, so that other scripts come out right or too high, not too low.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.llm.cache.request_key import Prompt

_CALL, _MESSAGE = 32, 8  # tokens that a chat template adds, of which no byte is in the question
_BYTES = 3  # of a likely token
_READ_TOO = ("tools", "response_format")


def max_input_tokens(prompt: Prompt, params: Mapping[str, Any]) -> int:
    """The most tokens that a question can have, unless the server adds a long text of its own."""
    texts = _prompt_texts(prompt)
    return sum(map(_count_bytes, texts)) + _MESSAGE * len(texts) + _CALL + _count_schema_bytes(params)


def likely_input_tokens(prompt: Prompt, params: Mapping[str, Any]) -> int:
    """About how many tokens a question has."""
    texts = _prompt_texts(prompt)
    return likely_tokens("".join(texts)) + _MESSAGE * len(texts) + _count_schema_bytes(params) // _BYTES


def likely_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many than too few."""
    return -(-_count_bytes(text) // _BYTES)


def _count_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _prompt_texts(prompt: Prompt) -> list[str]:
    if isinstance(prompt, str):
        return [prompt]
    said = ({name: value for name, value in each.items() if name != "role"} for each in prompt)
    return [
        each["content"] if _has_content_only(each) else json.dumps(each, default=str, ensure_ascii=False)
        for each in said
    ]


def _has_content_only(message: Mapping[str, Any]) -> bool:
    return set(message) == {"content"} and isinstance(message["content"], str)


def _count_schema_bytes(params: Mapping[str, Any]) -> int:
    """Bytes of what is sent besides the messages and read as part of the question."""
    sent = [params[name] for name in _READ_TOO if params.get(name)]
    return sum(_count_bytes(json.dumps(each, default=str, ensure_ascii=False)) for each in sent)
