"""The base of adapters that need no server."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.core.results import LMResult
from shared.llm.cache.request_key import Prompt


class ServerlessAdapter:
    """A subclass has a `name` and `complete_with_logprobs`, which waits for nothing."""

    name: str

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The answer."""
        raise NotImplementedError

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same, for callers in an event loop."""
        return self.complete_with_logprobs(prompt, max_tokens, **params)

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The same in one piece."""
        yield self.complete_with_logprobs(prompt, max_tokens, **params).text

    def list_models(self) -> list[str]:
        """This one."""
        return [self.name]

    def test_connection(self) -> None:
        """There is no connection to fail."""
