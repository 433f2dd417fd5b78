"""The `offline` adapter: answers that are made up, always the same, and say so; for checking a pipeline without a key.

It is only ever chosen by configuration, as a model or as the declared end of a fallback chain. There are no logprobs,
because there is no model: nothing can be calibrated on it by mistake.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from shared.core.results import LMResult
from shared.llm.keys import Prompt, request_key, without_input_data

MARK = "[offline]"


class OfflineAdapter:
    """A model that is none. Where a JSON schema is asked for, the answer fits it, with marked texts."""

    name = "offline"

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """The made-up answer to a question; `max_tokens` is not kept, so that the mark is always whole."""
        key = request_key(self.name, prompt, max_tokens, params)
        schema = _schema(without_input_data(params).get("response_format"))
        text = f"{MARK} answer {key[:12]}" if schema is None else json.dumps(_example(schema, int(key[:8], 16)))
        return LMResult(text, cost=0.0, latency=0.0, model=self.name, answered_by=self.name)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """The same, for callers without an event loop."""
        return asyncio.run(self.complete(prompt, max_tokens, **params))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        """The same, word by word."""
        text = (await self.complete(prompt, max_tokens, **params)).text
        for number, word in enumerate(text.split(" ")):
            yield word if number == 0 else f" {word}"

    def list_models(self) -> list[str]:
        """The one that there is."""
        return [self.name]

    def test_connection(self) -> None:
        """There is none to fail."""


def _schema(response_format: object) -> Mapping[str, Any] | None:
    if not isinstance(response_format, Mapping) or response_format.get("type") == "text":
        return None
    inner = response_format.get("json_schema", response_format)
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else {"type": "object"}


def _example(schema: Mapping[str, Any], seed: int) -> Any:
    """A value that fits a plain schema; the seed chooses among those that do."""
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices:
        return choices[seed % len(choices)]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return _example(options[0], seed)
    kind = schema.get("type", "object")
    return _of_kind(kind[0] if isinstance(kind, Sequence) and not isinstance(kind, str) else kind, schema, seed)


def _of_kind(kind: str, schema: Mapping[str, Any], seed: int) -> Any:
    if kind == "object":
        fields: Mapping[str, Any] = schema.get("properties", {})
        return {name: _example(field, seed + number) for number, (name, field) in enumerate(fields.items())}
    if kind == "array":
        count = max(1, int(schema.get("minItems", 1)))
        return [_example(schema.get("items", {"type": "string"}), seed + number) for number in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", 0)
        high = schema.get("maximum", low + 10)
        return int(low + seed % (int(high - low) + 1)) if kind == "integer" else low + (high - low) * (seed % 101) / 100
    return {"boolean": seed % 2 == 0, "null": None}.get(kind, MARK)
