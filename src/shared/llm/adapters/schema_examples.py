"""Values that fit a JSON schema, for adapters that have no model to make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def find_requested_schema(response_format: object) -> Mapping[str, Any] | None:
    """The JSON schema that the parameter `response_format` asks for, None for plain text."""
    if not isinstance(response_format, Mapping) or response_format.get("type") == "text":
        return None
    inner = response_format.get("json_schema", response_format)
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else {"type": "object"}


def make_example(schema: Mapping[str, Any], seed: int, text: str) -> Any:
    """A short value that fits a plain schema; the seed chooses among those, and `text` stands for every text."""
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices:
        return choices[seed % len(choices)]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return make_example(options[0], seed, text)
    kind = schema.get("type", "object")
    return _make_of_type(
        kind[0] if isinstance(kind, Sequence) and not isinstance(kind, str) else kind, schema, seed, text
    )


def _make_of_type(kind: str, schema: Mapping[str, Any], seed: int, text: str) -> Any:
    if kind == "object":
        fields: Mapping[str, Any] = schema.get("properties", {})
        return {name: make_example(field, seed + number, text) for number, (name, field) in enumerate(fields.items())}
    if kind == "array":
        count = max(1, int(schema.get("minItems", 1)))
        return [make_example(schema.get("items", {"type": "string"}), seed + number, text) for number in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", 0)
        high = schema.get("maximum", low + 10)
        return int(low + seed % (int(high - low) + 1)) if kind == "integer" else low + (high - low) * (seed % 101) / 100
    return {"boolean": seed % 2 == 0, "null": None}.get(kind, text)
