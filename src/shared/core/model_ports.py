"""The ports around language models besides `LMAdapter`: embeddings, and what remembers answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from shared.core.ports import Prompt
from shared.core.results import LMResult
from shared.core.usage import CacheStats


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
