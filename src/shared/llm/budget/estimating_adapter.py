"""An adapter without a model: it counts the tokens of its questions, to estimate what a run will cost."""

from __future__ import annotations

import json
import threading

from shared.core.results import LMResult
from shared.llm.adapters.schema_examples import find_requested_schema, make_example
from shared.llm.adapters.serverless_adapter import ServerlessAdapter
from shared.llm.budget.token_counts import likely_input_tokens
from shared.llm.cache.request_key import Prompt


class EstimatingAdapter(ServerlessAdapter):
    """Counts questions: their likely tokens, and `max_tokens` of answer each, which is the most that there can be.

    Its answers only let metrics of several steps get on: the shortest instance of the schema that is asked for, else a
    word, marked as `offline` answers are, so that nothing is asked twice for them. They are no judgements; whoever asks
    throws the scores away.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = self.input = self.output = 0
        self._lock = threading.Lock()

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """A stand-in for the answer, after counting the question."""
        tokens = likely_input_tokens(prompt, params)
        with self._lock:
            self.calls += 1
            self.input += tokens
            self.output += max_tokens
        schema = find_requested_schema(params.get("response_format"))
        text = "estimate" if schema is None else json.dumps(make_example(schema, 0, "estimate"))
        usage = {"input": tokens, "output": max_tokens}
        return LMResult(text, usage=usage, cost=0.0, latency=0.0, model="offline", answered_by=self.name)
