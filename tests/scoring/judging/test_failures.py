"""Every way in which a judge fails, over a real server on this machine: recorded with its kind, not remembered, and
tried again by the next run.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from shared.core.results import ItemResult
from shared.database.engine.database import open_database
from shared.database.stores.sql_responses import SqlResponses
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.cache.caching_adapter import CachingAdapter
from shared.llm.openai.server_settings import OpenAISettings
from shared.scoring.metric import bind
from shared.scoring.metrics.judges.llm_judge import LLMJudge
from shared.scoring.runner import Runner, RunnerOptions
from tests.http.fake_time import FakeTime
from tests.llm.fake_openai import BROKEN, CUT, Fault, StandIn, busy

ITEM = DatasetItem("1", query="Why?", actual_output="Because.")


def reply(content: str | None, reason: str = "stop") -> Fault:
    """An answer in the API's form."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return Fault(200, json.dumps({"model": "small-2026", "choices": [choice], "usage": usage}).encode())


def verdict(**values: Any) -> Callable[[str], Fault]:
    """A verdict with the check value that the question gives."""

    def answer(system: str) -> Fault:
        check = re.findall(r'The value of "check" is "(\w+)"', system)[0]
        return reply(json.dumps({"reason": "it does", **values, "check": check}))

    return answer


GOOD = verdict(score=10)


class JudgeServer(StandIn):
    """A server whose answers are a function of the system message."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__(time.clock)
        self.answer: Callable[[str], Fault] = GOOD

    def fault(self) -> Fault | None:
        return self.answer(self.seen[-1].body["messages"][0]["content"])


@contextmanager
def serving(time: FakeTime) -> Iterator[JudgeServer]:
    server = JudgeServer(time)
    try:
        yield server
    finally:
        server.close()


def score(server: JudgeServer, time: FakeTime, folder: Path, limit: float | None = None) -> ItemResult:
    """One run: an adapter, a cache and a runner of its own, on the same database as the runs before."""
    database = open_database(folder / "state.db")
    try:
        settings = OpenAISettings(base_url=server.url, model="small")
        inner = OpenAICompatibleAdapter(settings, time.runtime())
        model = CachingAdapter(inner, SqlResponses(database))
        metric = bind(LLMJudge, "Reasoned", {"model": model, "scale": "1-10", "rubric": "It gives a reason."})
        runner = Runner([metric], options=RunnerOptions(timeout=limit))

        async def run() -> ItemResult:
            found = [each async for each in runner.run([ITEM])]
            await inner.aclose()
            return found[0]

        return asyncio.run(run())
    finally:
        database.close()


def always(fault: Fault) -> Callable[[str], Fault]:
    return lambda system: fault


FAILURES: dict[str, tuple[str, Callable[[str], Fault]]] = {
    "prose": ("JudgeProse", always(reply("It is good, I would say 8 of 10."))),
    "an empty string": ("JudgeEmpty", always(reply(""))),
    "no text at all": ("JudgeEmpty", always(reply(None))),
    "HTML as its answer": ("JudgeHtml", always(reply("<!DOCTYPE html><html><body>Busy</body></html>"))),
    "HTML instead of an answer": ("BadAnswer", always(Fault(200, b"<html><body>Login</body></html>"))),
    "NaN": ("JudgeNotFinite", always(reply('{"reason": "r", "score": NaN, "check": ""}'))),
    "a score outside the scale": ("JudgeOutOfScale", verdict(score=11)),
    "another shape": ("JudgeMalformed", verdict(points=9)),
    "another check value": ("JudgeInjected", always(reply('{"reason": "r", "score": 9, "check": "0"}'))),
    "half an answer": ("JudgeTruncated", always(reply('{"reason": "it', "length"))),
    "a filtered answer": ("JudgeRefused", always(reply("", "content_filter"))),
    "a server error": ("Unavailable", always(BROKEN)),
    "a cut connection": ("Unavailable", always(CUT)),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure_has_its_kind_and_the_next_run_tries_again(tmp_path: Path, what: str) -> None:
    """The first run records the failure, the second asks anew and scores, the third pays nothing."""
    kind, answer = FAILURES[what]
    time = FakeTime()
    with serving(time) as server:
        server.answer = answer
        failed = score(server, time, tmp_path)
        assert [each.kind for each in failed.failures] == [kind], failed.failures
        assert failed.scores == ()
        asked = len(server.questions)
        server.answer = GOOD
        time.now += 60
        scored = score(server, time, tmp_path)
        assert [(each.value, each.model) for each in scored.scores] == [(1.0, "small-2026")]
        assert len(server.questions) == asked + 1
        assert score(server, time, tmp_path).scores[0].value == 1.0
        assert len(server.questions) == asked + 1


def test_429_for_a_minute_is_a_failure_that_the_next_run_makes_good(tmp_path: Path) -> None:
    """By an injected clock: the adapter's tries end within the minute; a run after it scores."""
    time = FakeTime()
    with serving(time) as server:
        free = time.now + 60
        server.answer = lambda system: busy() if time.now < free else GOOD(system)
        failed = score(server, time, tmp_path)
        assert [each.kind for each in failed.failures] == ["RateLimited"]
        assert len(server.questions) == 3
        assert time.now < free
        time.now = free
        assert score(server, time, tmp_path).scores[0].value == 1.0


def test_a_judge_that_never_answers_runs_into_the_runners_limit(tmp_path: Path) -> None:
    """The kind is Timeout; without the limit the next run scores."""
    time = FakeTime()
    with serving(time) as server:
        server.answer = always(Fault(stuck=True))
        failed = score(server, time, tmp_path, limit=0.2)
        assert [each.kind for each in failed.failures] == ["Timeout"]
        server.answer = GOOD
        assert score(server, time, tmp_path).scores[0].value == 1.0


def test_a_wrong_key_is_told_by_the_configuration_not_by_the_item(tmp_path: Path) -> None:
    """It is a ConfigError, whose way through the runner is the runner's."""
    time = FakeTime()
    with serving(time) as server:
        server.answer = always(Fault(401, b'{"error": {"message": "Incorrect API key"}}'))
        inner = OpenAICompatibleAdapter(OpenAISettings(base_url=server.url, model="small"), time.runtime())
        metric = LLMJudge(inner, "1-10", "It gives a reason.")
        with pytest.raises(ConfigError):
            asyncio.run(_and_close(metric, inner))


async def _and_close(metric: LLMJudge, inner: OpenAICompatibleAdapter) -> None:
    try:
        await metric(ITEM)
    finally:
        await inner.aclose()
