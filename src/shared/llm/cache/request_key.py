"""What makes two questions the same: the SHA-256 of model, messages, parameters and input data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.core.digests import digest

Prompt = str | Sequence[Mapping[str, Any]]

INPUT_DATA = "input_data"
"""A parameter that is part of the key and is not sent: what else an answer depends on, such as a vote's number."""


def request_key(model: str, prompt: Prompt, max_tokens: int, params: Mapping[str, Any]) -> str:
    """The key of a question, 64 hexadecimal digits. Parameters that are None count as not given."""
    given = {name: value for name, value in params.items() if value is not None and name != INPUT_DATA}
    question = {
        "model": model,
        "messages": prompt if isinstance(prompt, str) else list(prompt),
        "parameters": {"max_tokens": max_tokens, **given},
        "input_data": params.get(INPUT_DATA),
    }
    return digest(question)


def remove_input_data(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are sent."""
    return {name: value for name, value in params.items() if name != INPUT_DATA}
