"""The ports around language models besides `LMAdapter`: embeddings and stored answers, kept as JSON to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from shared.core.counts import CacheStats
from shared.core.errors import ItemError
from shared.core.ports import Prompt
from shared.core.results import LMResult

_DEFAULTS = {
    each.name: each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
    for each in dataclasses.fields(LMResult)
}
_TUPLES = ("token_logprobs", "tokens", "top_logprobs", "tool_calls", "passed_over")


class Embedder(Protocol):
    """Turns texts into vectors. `name` is what results are recorded under."""

    name: str

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """One vector per text, in their order, all of one length."""


@runtime_checkable
class ForgettingAdapter(Protocol):
    """An adapter that remembers answers and can be told that one was of no use: the next equal question is new."""

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> None:
        """Forget the answer to a question, given as it was asked; harmless when there is none."""


class ResponseCache(Protocol):
    """Answers of models, by the SHA-256 of everything that was sent."""

    def get(self, keys: Sequence[str]) -> dict[str, LMResult]:
        """The answers that are there, by key."""

    def put(self, answers: Mapping[str, LMResult]) -> None:
        """Keep whole answers; errors and truncated answers are not given to it. A later answer to a key stands."""

    def drop(self, keys: Sequence[str]) -> None:
        """Forget these answers; keys that are not there are harmless."""

    def stats(self) -> CacheStats:
        """Hits and misses so far, and what is in it."""


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
