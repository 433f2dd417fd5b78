"""The inside of a metric's model: an adapter that is given what it takes and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.core.ports import LMAdapter, Prompt
from shared.core.results import LMResult
from shared.llm.cache.request_key import remove_input_data


class InputDataFilter:
    """An adapter that is not given what only the cache's key is made of."""

    def __init__(self, inner: LMAdapter) -> None:
        self.name = inner.name
        self.takes_input_data = True
        self._inner = inner
        self._sent = dict if getattr(inner, "takes_input_data", False) else remove_input_data

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The inner adapter's answer."""
        return await self._inner.complete(prompt, max_tokens, **self._sent(params))

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same, for callers without an event loop."""
        return self._inner.complete_with_logprobs(prompt, max_tokens, **self._sent(params))

    def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The inner adapter's pieces."""
        return self._inner.stream(prompt, max_tokens, **self._sent(params))

    def list_models(self) -> list[str]:
        """The inner adapter's list."""
        return self._inner.list_models()

    def test_connection(self) -> None:
        """The inner adapter's test."""
        self._inner.test_connection()
