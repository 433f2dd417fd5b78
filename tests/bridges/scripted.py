"""A language model that answers by script, for metrics of other people: fills the port, keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core.ports import Prompt
from shared.core.results import LMResult


@dataclass
class Scripted:
    """Answers with the first entry of `script` whose words (joined by ` & `) are all in the question or in the schema
    that it asks for; texts as they are, the rest as JSON. An entry that is an exception is raised. Each answer costs
    `price` and takes a turn of the event loop.
    """

    script: Sequence[tuple[str, Any]]
    price: float | None = 0.01
    name: str = "scripted"
    asked: list[str] = field(default_factory=list)
    params: list[Mapping[str, Any]] = field(default_factory=list)

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        await asyncio.sleep(0.001)
        question = prompt if isinstance(prompt, str) else "\n".join(each["content"] for each in prompt)
        self.asked.append(question)
        self.params.append({"max_tokens": max_tokens, **params})
        seen = question + json.dumps(params.get("response_format"))
        for words, answer in self.script:
            if all(word in seen for word in words.split(" & ")):
                if isinstance(answer, Exception):
                    raise answer
                text = answer if isinstance(answer, str) else json.dumps(answer)
                return LMResult(text, cost=self.price, model=self.name, answered_by=self.name)
        raise AssertionError(f"the script has no answer to {seen!r}")

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        return asyncio.run(self.complete(prompt, max_tokens, **params))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        yield (await self.complete(prompt, max_tokens, **params)).text

    def list_models(self) -> list[str]:
        return [self.name]

    def test_connection(self) -> None:
        pass
