"""The `offline` adapter: answers that are made up, always the same, and say so; for checking a pipeline without a key.

It is only ever chosen by configuration, as a model or as the declared end of a fallback chain. There are no logprobs,
because there is no model: nothing can be calibrated on it by mistake.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from shared.core.results import LMResult
from shared.llm.adapters.schema_examples import find_requested_schema, make_example
from shared.llm.adapters.serverless_adapter import ServerlessAdapter
from shared.llm.cache.request_key import Prompt, request_key

MARK = "[offline]"


class OfflineAdapter(ServerlessAdapter):
    """No model: fixed, marked answers for trying out a pipeline. With a JSON schema, the answer fits it."""

    name = "offline"

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The made-up answer to a question; `max_tokens` is not kept, so that the mark is always whole."""
        key = request_key(self.name, prompt, max_tokens, params)
        schema = find_requested_schema(params.get("response_format"))
        example = None if schema is None else make_example(schema, int(key[:8], 16), MARK)
        text = f"{MARK} answer {key[:12]}" if schema is None else json.dumps(example)
        return LMResult(text, cost=0.0, latency=0.0, model=self.name, answered_by=self.name)

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The same, word by word."""
        for number, word in enumerate(self.complete_with_logprobs(prompt, max_tokens, **params).text.split(" ")):
            yield word if number == 0 else f" {word}"
