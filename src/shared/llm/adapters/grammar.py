"""Answers of the `local` adapter that fit a JSON schema: a token is drawn only among those that the schema allows next.

The schema becomes llama.cpp's grammar. Logprobs stay those of the whole vocabulary, so that a choice forced by the
grammar on a model that wanted to say something else shows as a low one.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shared.core.best_effort import attempt
from shared.core.errors import ItemError

Vector = NDArray[np.float64]


class SchemaConstraint:
    """Follows one answer along a JSON schema, until its block ends. `lib` is llama_cpp, `ctx` its context.

    Raises:
        ItemError: when llama.cpp cannot make a grammar of the schema.
    """

    def __init__(self, lib: Any, ctx: Any, schema: Mapping[str, Any]) -> None:
        self._lib = lib
        grammar = attempt(lib.llama_grammar.json_schema_to_gbnf, json.dumps(schema))
        if isinstance(grammar, Exception):
            raise ItemError(f"local model: no grammar can be made of this JSON schema: {grammar}") from grammar
        vocab = lib.llama_model_get_vocab(lib.llama_get_model(ctx))
        self._sampler = lib.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
        if not self._sampler:
            raise ItemError("local model: llama.cpp refuses the grammar made of this JSON schema")

    def allows(self, token: int) -> bool:
        """Whether the schema allows this token next. Cheap: it is checked for the drawn token before any is masked."""
        return bool(self._find_allowed(np.array([token]))[0])

    def mask(self, logprobs: Vector) -> Vector:
        """The logprobs with -inf for every token that the schema forbids next."""
        return np.where(self._find_allowed(np.arange(len(logprobs))), logprobs, -np.inf)

    def accept(self, token: int) -> None:
        """Go on after a token."""
        self._lib.llama_sampler_accept(self._sampler, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.llama_sampler_free(self._sampler)

    def _find_allowed(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        entries = (self._lib.llama_token_data * len(tokens))()
        view = np.ctypeslib.as_array(entries)
        view["id"], view["logit"], view["p"] = tokens, 0.0, 0.0
        array = self._lib.llama_token_data_array(data=entries, size=len(tokens), selected=-1, sorted=False)
        self._lib.llama_sampler_apply(self._sampler, ctypes.byref(array))
        return np.asarray(np.isfinite(view["logit"]))


def parse_response_format(response_format: object) -> Mapping[str, Any] | None:
    """The JSON schema of OpenAI's `response_format`, `{"type": "object"}` for a bare JSON mode, None for plain text.

    Raises:
        ItemError: when it is none of these.
    """
    if response_format is None:
        return None
    if isinstance(response_format, Mapping):
        kind = response_format.get("type")
        if kind == "text":
            return None
        if kind == "json_object":
            return {"type": "object"}
        inner = response_format.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        if kind == "json_schema" and isinstance(schema, Mapping):
            return schema
    raise ItemError(
        "local model: response_format: expected {type: text}, {type: json_object} or {type: json_schema,"
        f" json_schema: {{schema: ...}}}}, found {str(response_format)[:200]!r}"
    )
