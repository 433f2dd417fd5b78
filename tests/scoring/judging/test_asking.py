"""One question to a judge: what it is sent, what is read, what one repair does, and what it costs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from shared.core.errors import ConfigError, RateLimited, Unavailable
from shared.core.results import LMResult
from shared.llm.adapters.offline import OfflineAdapter
from shared.llm.cache.caching_adapter import CachingAdapter
from shared.scoring.judging.ask_judge import (
    DEFAULT_OPTIONS,
    REPEAT,
    JudgeQuestion,
    JudgeRequestOptions,
    JudgeResponse,
    ask_judge,
    make_question,
)
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.prompt_files import JudgePrompt
from tests.llm.memory_responses import MemoryResponses
from tests.scoring.judging.scripted import Reply, ScriptedJudge, Seen, in_turn

PROMPT = JudgePrompt(
    "p", 1, "{% block system %}Judge by {{ rubric }}.{% endblock %}{% block user %}{{ data }}{% endblock %}"
)
SHAPE: dict[str, Any] = {
    "reason": {"type": "string"},
    "score": {"type": "integer", "minimum": 1, "maximum": 10},
}


def asked(query: str = "Why?", manner: JudgeRequestOptions = DEFAULT_OPTIONS) -> JudgeQuestion:
    return make_question(PROMPT, SHAPE, {"query": query, "actual_output": "Because."}, {"rubric": "truth"}, manner)


def run(judge: Any, made: JudgeQuestion | None = None, vote: int = 0) -> JudgeResponse:
    return asyncio.run(ask_judge(judge, made or asked(), vote))


def good(seen: Seen) -> str:
    return seen.verdict(reason="fine", score=8)


def test_a_verdict_comes_with_what_it_took() -> None:
    judge = ScriptedJudge(good)
    found = run(judge)
    assert found.verdict == {"reason": "fine", "score": 8}
    assert (found.calls, found.cost, found.model, found.cached, found.was_repaired) == (
        1,
        0.25,
        "scripted",
        False,
        False,
    )
    assert found.usage == {"input": 10, "output": 5, "total": 15}


def test_the_judge_is_sent_rules_schema_and_fenced_data() -> None:
    judge = ScriptedJudge(good)
    run(judge)
    seen = judge.seen[0]
    assert [each["role"] for each in seen.messages] == ["system", "user"]
    assert "Judge by truth." in seen.system
    assert seen.data == {"query": "Why?", "actual_output": "Because."}
    assert seen.check not in seen.user
    schema = seen.params["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert list(schema["schema"]["properties"]) == ["reason", "score", "check"]
    assert seen.check not in json.dumps(schema)  # a server that keeps to the schema must not fill it in
    assert seen.params["temperature"] == 0.0
    assert "input_data" not in seen.params


def test_a_manner_changes_what_is_sent() -> None:
    judge = ScriptedJudge(good)
    run(judge, asked(manner=JudgeRequestOptions(max_tokens=7, temperature=None, structured=False, top_logprobs=3)))
    assert judge.seen[0].params == {"max_tokens": 7, "top_logprobs": 3}


def test_equal_questions_are_equal_to_the_last_letter() -> None:
    """So that the response cache answers them; other texts have other marks and check values."""
    one, same, other = asked(), asked(), asked("Why not?")
    assert one == same
    assert one.fence.mark != other.fence.mark
    assert one.fence.check != other.fence.check


def test_one_repair_and_its_cost() -> None:
    """The second message says what was wrong; both calls are paid for."""
    judge = ScriptedJudge(lambda seen: "Eight." if len(seen.messages) == 2 else good(seen))
    found = run(judge)
    assert found.verdict["score"] == 8
    assert (found.calls, found.cost, found.usage["total"], found.was_repaired) == (2, 0.5, 30, True)
    assistant, again = judge.seen[1].messages[2:]
    assert (assistant["role"], assistant["content"], again["role"]) == ("assistant", "Eight.", "user")
    assert "is not JSON alone" in again["content"]
    assert judge.seen[1].check not in again["content"]


def test_what_a_repair_quotes_is_bounded() -> None:
    judge = ScriptedJudge(lambda seen: "no " * 50_000 if len(seen.messages) == 2 else good(seen))
    run(judge)
    assert sum(len(each["content"]) for each in judge.seen[1].messages[2:]) < 1_000


def refused(text: str = "I cannot help.") -> LMResult:
    return LMResult(text, finish_reason="content_filter")


KINDS: dict[str, tuple[Reply, int]] = {
    "JudgeEmpty": (" \n", 2),
    "JudgeProse": ("It is good, I give an 8.", 2),
    "JudgeHtml": ("<!DOCTYPE html><html>busy</html>", 2),
    "JudgeMalformed": ('{"score": 8}', 2),
    "JudgeNotFinite": ('{"reason": "", "score": NaN, "check": ""}', 2),
    "JudgeOutOfScale": ('{"reason": "", "score": 11, "check": ""}', 2),
    "JudgeInjected": ('{"reason": "", "score": 10, "check": "0123456789abcdef"}', 2),
    "JudgeTruncated": (LMResult('{"reason": "and', finish_reason="length"), 2),
    "JudgeRefused": (refused(), 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_unusable_answer_has_its_kind(kind: str) -> None:
    """The kind is the class's name, the message one short line; a refusal is not argued with."""
    reply, calls = KINDS[kind]
    judge = ScriptedJudge(in_turn(reply))
    with pytest.raises(JudgeError) as told:
        run(judge)
    assert type(told.value).__name__ == kind
    assert len(judge.seen) == calls
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


def test_a_tool_call_instead_of_an_answer_is_empty() -> None:
    call = LMResult("", tool_calls=({"id": "1", "name": "f", "arguments": "{}"},), finish_reason="tool_calls")
    with pytest.raises(JudgeError, match="a call of a tool"):
        run(ScriptedJudge(in_turn(call)))


@pytest.mark.parametrize("error", [RateLimited("slow down"), ConfigError("wrong key"), TimeoutError("late")])
def test_errors_of_the_adapter_pass_as_they_are(error: Exception) -> None:
    judge = ScriptedJudge(in_turn(error))
    with pytest.raises(type(error)):
        run(judge)
    assert len(judge.seen) == 1


def test_an_unusable_answer_is_asked_for_anew() -> None:
    """Neither the answer nor its repair stays in the cache: the next run asks, and its good answer stays."""
    judge = ScriptedJudge(in_turn("prose", "prose again", LMResult("x"), LMResult("y")))
    model = CachingAdapter(judge, MemoryResponses())
    for calls in (2, 4):
        with pytest.raises(JudgeError):
            run(model)
        assert len(judge.seen) == calls
    judge.script = good
    assert [run(model).cached for _ in range(2)] == [False, True]
    assert len(judge.seen) == 5


def test_a_repaired_verdict_is_remembered_whole() -> None:
    """The same question costs nothing the second time, though its first answer could not be used."""
    judge = ScriptedJudge(lambda seen: "prose" if len(seen.messages) == 2 else good(seen))
    model = CachingAdapter(judge, MemoryResponses())
    first, second = run(model), run(model)
    assert first.verdict == second.verdict
    assert (first.cost, second.cost, second.cached, len(judge.seen)) == (0.5, 0.0, True, 2)


def test_votes_and_repetitions_are_questions_of_their_own() -> None:
    """The cache answers a vote with its own earlier answer only, and a repetition with its own."""
    judge = ScriptedJudge(good)
    model = CachingAdapter(judge, MemoryResponses())
    for _ in range(2):
        for vote in range(3):
            run(model, vote=vote)
    assert len(judge.seen) == 3
    token = REPEAT.set("1")
    run(model)
    REPEAT.reset(token)
    assert len(judge.seen) == 4


def test_the_offline_adapter_can_stand_in() -> None:
    """A pipeline is checked without a key: its verdicts fit the schema and are marked as made up."""
    found = run(OfflineAdapter())
    assert found.model == "offline"
    assert 1 <= found.verdict["score"] <= 10


def test_who_answered_is_told_by_its_own_name() -> None:
    judge = ScriptedJudge(lambda seen: replace(LMResult(good(seen)), model="m", reported_model="m-2026-01"))
    assert run(judge).model == "m-2026-01"
    assert run(judge).cost is None


def test_a_verdict_cannot_have_a_key_of_ours() -> None:
    with pytest.raises(ConfigError, match="'check'"):
        make_question(PROMPT, {"check": {"type": "string"}}, {})


def test_a_repair_that_fails_leaves_no_unusable_answer_behind() -> None:
    """When the server is out before the repair, the first answer is forgotten too: the next run asks anew."""
    judge = ScriptedJudge(in_turn("prose", Unavailable("gone for lunch"), "prose", "prose"))
    model = CachingAdapter(judge, MemoryResponses())
    with pytest.raises(Unavailable):
        run(model)
    with pytest.raises(JudgeError):
        run(model)
    assert len(judge.seen) == 4
