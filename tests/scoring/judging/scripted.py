"""A judge whose answers are a function of what it was sent: a whole adapter in a few lines."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core.ports import Prompt
from shared.core.results import LMResult

Reply = str | LMResult | Exception


@dataclass
class Seen:
    """What a judge was sent: the messages' texts and the parameters."""

    messages: Sequence[Mapping[str, str]]
    params: Mapping[str, Any]

    @property
    def system(self) -> str:
        return self.messages[0]["content"]

    @property
    def user(self) -> str:
        return self.messages[1]["content"]

    @property
    def check(self) -> str:
        """The check value that the system message gives."""
        return str(re.findall(r'The value of "check" is "(\w+)"', self.system)[0])

    @property
    def mark(self) -> str:
        return str(re.findall(r"between a line <<(\w+) name>>", self.system)[0])

    @property
    def data(self) -> dict[str, str]:
        """What stands between the marks, by label."""
        found = re.findall(rf"<<{self.mark} (.+?)>>\n(.*?)\n<</{self.mark} \1>>", self.user, re.DOTALL)
        return dict(found)

    def verdict(self, **values: Any) -> str:
        """An honest answer."""
        return json.dumps({**values, "check": self.check}, ensure_ascii=False)


@dataclass
class ScriptedJudge:
    """`script` answers each call; what was asked is in `seen`."""

    script: Callable[[Seen], Reply]
    name: str = "scripted"
    seen: list[Seen] = field(default_factory=list)

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        await asyncio.sleep(0)
        assert not isinstance(prompt, str)
        self.seen.append(Seen(prompt, {**params, "max_tokens": max_tokens}))
        reply = self.script(self.seen[-1])
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, LMResult):
            return reply
        return LMResult(reply, usage={"input": 10, "output": 5, "total": 15}, cost=0.25, model=self.name)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        return asyncio.run(self.complete(prompt, max_tokens, **params))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        yield (await self.complete(prompt, max_tokens, **params)).text

    def list_models(self) -> list[str]:
        return [self.name]

    def test_connection(self) -> None:
        """It is always there."""


def in_turn(*replies: Reply) -> Callable[[Seen], Reply]:
    """A script of fixed answers, the last of them for ever."""
    left = list(replies)
    return lambda seen: left.pop(0) if len(left) > 1 else left[0]
