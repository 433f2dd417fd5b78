"""An adapter around another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from shared.core.model_ports import ForgettingAdapter
from shared.core.ports import LMAdapter
from shared.core.results import LMResult
from shared.llm.cache.request_key import Prompt, remove_input_data


class AdapterWrapper:
    """Passes every call on to `_inner`; a subclass changes what it is for.

    The parameter `input_data` is part of what makes two questions equal, not of what is sent: votes that must be drawn
    anew differ by it. Only an inner adapter that says `takes_input_data` is given it.
    """

    takes_input_data = True

    def __init__(self, inner: LMAdapter) -> None:
        self.name = inner.name
        self._wrapped = inner

    @property
    def _inner(self) -> LMAdapter:
        return self._wrapped

    def _select_params(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return params if getattr(self._inner, "takes_input_data", False) else remove_input_data(params)

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The inner adapter's answer."""
        return await self._inner.complete(prompt, max_tokens, **self._select_params(params))

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same, for callers without an event loop."""
        return self._inner.complete_with_logprobs(prompt, max_tokens, **self._select_params(params))

    def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The inner adapter's pieces."""
        return self._inner.stream(prompt, max_tokens, **self._select_params(params))

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> None:
        """Forget the answer to a question in the inner adapter, if it remembers any."""
        if isinstance(self._inner, ForgettingAdapter):
            self._inner.forget(prompt, max_tokens, **self._select_params(params))

    def list_models(self) -> list[str]:
        """The inner adapter's list."""
        return self._inner.list_models()

    def test_connection(self) -> None:
        """The inner adapter's test, never answered from a cache."""
        self._inner.test_connection()
