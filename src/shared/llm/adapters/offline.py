"""The `offline` adapter: answers that are made up, always the same, and say so; for checking a pipeline without a key.

It is only ever chosen by configuration, as a model or as the declared end of a fallback chain. There are no logprobs,
because there is no model: nothing can be calibrated on it by mistake.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from shared.core.results import LMResult
from shared.llm.adapters.schema_examples import find_requested_schema, make_example
from shared.llm.cache.request_key import Prompt, remove_input_data, request_key

MARK = "[offline]"


class OfflineAdapter:
    """A model that is none. Where a JSON schema is asked for, the answer fits it, with marked texts."""

    name = "offline"

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The made-up answer to a question; `max_tokens` is not kept, so that the mark is always whole."""
        key = request_key(self.name, prompt, max_tokens, params)
        schema = find_requested_schema(remove_input_data(params).get("response_format"))
        text = (
            f"{MARK} answer {key[:12]}" if schema is None else json.dumps(make_example(schema, int(key[:8], 16), MARK))
        )
        return LMResult(text, cost=0.0, latency=0.0, model=self.name, answered_by=self.name)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same, for callers without an event loop."""
        return asyncio.run(self.complete(prompt, max_tokens, **params))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The same, word by word."""
        text = (await self.complete(prompt, max_tokens, **params)).text
        for number, word in enumerate(text.split(" ")):
            yield word if number == 0 else f" {word}"

    def list_models(self) -> list[str]:
        """The one that there is."""
        return [self.name]

    def test_connection(self) -> None:
        """There is none to fail."""
