"""The `offline` adapter: answers that are made up, always the same, and say so; for checking a pipeline without a key.

It is only ever chosen by configuration, as a model or as the declared end of a fallback chain. There are no logprobs,
because there is no model: nothing can be calibrated on it by mistake.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from shared.core.results import LMResult
from shared.llm.adapters.serverless_adapter import ServerlessAdapter
from shared.llm.cache.request_key import Prompt, request_key

MARK = "[offline]"


class OfflineAdapter(ServerlessAdapter):
    """No model: fixed, marked answers for trying out a pipeline. With a JSON schema, the answer fits it."""

    name = "offline"

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The made-up answer to a question; `max_tokens` is not kept, so that the mark is always whole."""
        key = request_key(self.name, prompt, max_tokens, params)
        plain = f"{MARK} answer {key[:12]}"
        text = make_answer_text(params.get("response_format"), plain, int(key[:8], 16), MARK)
        return LMResult(text, cost=0.0, latency=0.0, model=self.name, answered_by=self.name)

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The same, word by word."""
        for number, word in enumerate(self.complete_with_logprobs(prompt, max_tokens, **params).text.split(" ")):
            yield word if number == 0 else f" {word}"


def make_answer_text(response_format: object, plain: str, seed: int, text: str) -> str:
    """The text `plain`, or where `response_format` asks for a JSON schema, a short value that fits it, as JSON."""
    schema = _find_requested_schema(response_format)
    return plain if schema is None else json.dumps(_make_example(schema, seed, text))


def _find_requested_schema(response_format: object) -> Mapping[str, Any] | None:
    """The JSON schema that the parameter `response_format` asks for, None for plain text."""
    if not isinstance(response_format, Mapping) or response_format.get("type") == "text":
        return None
    inner = response_format.get("json_schema", response_format)
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else {"type": "object"}


def _make_example(schema: Mapping[str, Any], seed: int, text: str) -> Any:
    """A short value that fits a plain schema; the seed chooses among those, and `text` stands for every text."""
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices:
        return choices[seed % len(choices)]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return _make_example(options[0], seed, text)
    kind = schema.get("type", "object")
    return _make_of_type(
        kind[0] if isinstance(kind, Sequence) and not isinstance(kind, str) else kind, schema, seed, text
    )


def _make_of_type(kind: str, schema: Mapping[str, Any], seed: int, text: str) -> Any:
    if kind == "object":
        fields: Mapping[str, Any] = schema.get("properties", {})
        return {name: _make_example(field, seed + number, text) for number, (name, field) in enumerate(fields.items())}
    if kind == "array":
        count = max(1, int(schema.get("minItems", 1)))
        return [_make_example(schema.get("items", {"type": "string"}), seed + number, text) for number in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", 0)
        high = schema.get("maximum", low + 10)
        return int(low + seed % (int(high - low) + 1)) if kind == "integer" else low + (high - low) * (seed % 101) / 100
    return {"boolean": seed % 2 == 0, "null": None}.get(kind, text)
