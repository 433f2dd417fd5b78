"""`llm_judge`: by rubric or template, on any scale, with votes, weighed, and through the runner."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from shared.core.conversation import parse_conversation
from shared.core.errors import ConfigError, FatalError, RateLimited
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, LMResult, Score
from shared.llm.adapters.offline import OfflineAdapter
from shared.llm.cache.caching_adapter import CachingAdapter
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.metric import bind
from shared.scoring.metrics.judges.llm_judge import LLMJudge
from shared.scoring.parameter_types import ProjectFile
from shared.scoring.runner import Runner
from tests.llm.memory_responses import MemoryResponses
from tests.scoring.judging.scripted import ScriptedJudge, Seen, in_turn

ITEM = DatasetItem("1", query="Why?", actual_output="Because.", expected_output="It is so.")
RUBRIC = "A good answer gives a reason."


def says(**values: Any) -> ScriptedJudge:
    return ScriptedJudge(lambda seen: seen.verdict(reason="so it is", **values))


def score(judge: Any, item: DatasetItem = ITEM, **params: Any) -> Score:
    metric = LLMJudge(judge, **{"scale": "1-10", "rubric": RUBRIC} | params)
    found = asyncio.run(metric(item))
    assert found is not None
    return found


def test_a_verdict_by_rubric_becomes_a_score() -> None:
    judge = says(score=8)
    found = score(judge)
    assert found.value == pytest.approx(7 / 9)
    assert (found.explanation, found.cost, found.model) == ("so it is", 0.25, "scripted")
    assert found.signals == {"raw": 8, "weighted": False}
    assert judge.seen[0].data == {"query": "Why?", "actual_output": "Because."}
    assert RUBRIC in judge.seen[0].user
    assert '"score" is a whole number from 1 (worst) to 10 (best)' in judge.seen[0].system
    assert judge.seen[0].params["top_logprobs"] == 20


@pytest.mark.parametrize(
    ("scale", "verdict", "value"),
    [
        ("0-1", {"score": 0.4}, 0.4),
        ("pass_fail", {"verdict": "pass"}, 1.0),
        (["bad", "fair", "good"], {"verdict": "fair"}, 0.5),
        ({"no": 0.0, "some": 0.9, "yes": 1.0}, {"verdict": "some"}, 0.9),
    ],
)
def test_every_scale_is_asked_for_and_mapped(scale: Any, verdict: dict[str, Any], value: float) -> None:
    assert score(says(**verdict), scale=scale).value == pytest.approx(value)


def test_the_judge_sees_the_fields_that_are_named() -> None:
    """Lists entry by entry, conversations message by message, mappings and numbers as JSON."""
    talk = parse_conversation([{"role": "user", "content": "Hi"}, {"role": "ai", "content": "Hello"}])
    item = DatasetItem("1", retrieved_content=("one", "two"), conversation=talk, metadata={"tier": {"a": 1}}, latency=2)
    judge = says(score=8)
    score(judge, item, fields=["retrieved_content", "conversation", "metadata.tier", "latency"])
    assert judge.seen[0].data == {
        "retrieved_content[1]": "one",
        "retrieved_content[2]": "two",
        "conversation[1]": "user: Hi",
        "conversation[2]": "assistant: Hello",
        "metadata.tier": '{"a":1}',
        "latency": "2",
    }


def test_an_item_without_a_field_is_not_judged() -> None:
    judge = says(score=8)
    metric = LLMJudge(judge, "1-10", RUBRIC, fields=["query", "metadata.tier"])
    assert asyncio.run(metric(ITEM)) is None
    assert judge.seen == []


def test_only_what_the_judge_sees_counts_as_read() -> None:
    def reads(**params: Any) -> tuple[str, ...]:
        return LLMJudge(says(score=1), "1-10", RUBRIC, **params).reads

    assert reads() == ("query", "actual_output")
    assert reads(fields=["metadata.a", "metadata.b", "query"]) == ("metadata", "query")


def test_examples_are_shown() -> None:
    judge = says(score=8)
    score(judge, examples=[{"query": "How?", "actual_output": "So.", "reason": "it says how", "score": 9}])
    assert 'query: How?\nactual_output: So.\nverdict: {"reason": "it says how", "score": 9}' in judge.seen[0].user


def test_a_text_that_is_too_long_is_a_failure_without_a_call() -> None:
    judge = says(score=8)
    with pytest.raises(JudgeError, match="actual_output has 8 characters; the judge is shown at most 7"):
        score(judge, max_chars=7)
    assert judge.seen == []


def token_answer(seen: Seen, eight: float) -> LMResult:
    tokens = ('{"reason": "r", "score": ', "8", f', "check": "{seen.check}"}}')
    tops = ({tokens[0]: 0.0}, {"8": math.log(eight), "9": math.log(1 - eight)}, {tokens[2]: 0.0})
    return LMResult("".join(tokens), (0.0, math.log(eight), 0.0), tokens, tops)


def test_a_score_is_weighed_by_the_judges_logprobs() -> None:
    """Where it has them, and where that is wanted."""
    judge = ScriptedJudge(lambda seen: token_answer(seen, 0.75))
    found = score(judge)
    assert found.value == pytest.approx((0.75 * 7 + 0.25 * 8) / 9)
    assert found.signals == {"raw": 8, "weighted": True, "mass": pytest.approx(1.0)}
    plain = score(judge, weigh_by_logprobs=False)
    assert plain.value == pytest.approx(7 / 9)
    assert "top_logprobs" not in judge.seen[1].params


def votes(key: str, *raws: Any) -> ScriptedJudge:
    """One answer per vote; None is an answer that cannot be used, and stays so when it is asked for again."""

    def script(seen: Seen) -> str:
        raw = raws[seen.params.get("input_data", {}).get("vote", 0)]
        return "prose" if raw is None else seen.verdict(reason=f"said {raw}", **{key: raw})

    return ScriptedJudge(script)


def test_votes_are_drawn_anew_and_their_mean_is_the_score() -> None:
    judge = votes("score", 8, 10, 9, 9)
    found = score(judge, votes=4)
    assert found.value == pytest.approx(8 / 9)
    assert found.signals is not None
    assert found.signals["votes"] == [8, 10, 9, 9]
    assert (found.signals["raw"], found.signals["agreement"]) == (9, 0.5)
    assert found.signals["stdev"] == pytest.approx(0.8164965809 / 9)
    assert (found.explanation, found.cost) == ("said 9", 1.0)
    assert {each.params["temperature"] for each in judge.seen} == {0.7}
    assert len({json.dumps(each.params.get("input_data")) for each in judge.seen}) == 4


def test_names_are_decided_by_most_votes() -> None:
    """A tie takes the mean worth of the names in it."""
    assert score(votes("verdict", "pass", "fail", "pass"), scale="pass_fail", votes=3).value == 1.0
    assert score(votes("verdict", "pass", "fail"), scale="pass_fail", votes=2).value == 0.5
    three = score(votes("verdict", "a", "b", "c", "c"), scale=["a", "b", "c"], votes=4)
    assert (three.value, three.explanation) == (1.0, "said c")


def test_a_failed_vote_is_left_out_while_most_are_there() -> None:
    found = score(votes("score", 8, None, 8), votes=3)
    assert found.value == pytest.approx(7 / 9)
    assert found.signals is not None
    assert found.signals["failed_votes"] == {"JudgeProse": 1}
    assert (found.signals["votes"], found.cost) == ([8, 8], 1.0)  # the failed one was asked twice
    with pytest.raises(JudgeError):
        score(votes("score", 8, None), votes=2)


def test_an_error_of_the_adapter_in_a_vote_is_the_whole_ones() -> None:
    """The other votes are in the cache, so that trying again costs one call; what ends the run goes first."""
    slow = ScriptedJudge(lambda seen: RateLimited("slow") if "input_data" in seen.params else seen.verdict(x=1))
    with pytest.raises(RateLimited):
        score(slow, votes=2)
    with pytest.raises(FatalError):
        score(ScriptedJudge(in_turn(RateLimited("slow"), FatalError("empty account"))), votes=2)


def test_the_second_run_pays_nothing() -> None:
    judge = votes("score", 8, 9, 10)
    model = CachingAdapter(judge, MemoryResponses())
    first, second = score(model, votes=3), score(model, votes=3)
    assert (first.value, first.cost, second.cost, len(judge.seen)) == (second.value, 0.75, 0.0, 3)


def test_the_offline_adapter_scores_marked() -> None:
    found = score(OfflineAdapter(), scale="pass_fail", votes=3)
    assert (found.model, found.cost) == ("offline", 0.0)


def template(folder: Path, text: str) -> ProjectFile:
    (folder / "t.j2").write_text(text)
    return ProjectFile(str(folder / "t.j2"), "prompts/t.j2")


def test_a_template_shows_what_it_wants(tmp_path: Path) -> None:
    """Fields by name, fenced; the shipped system message with scale and rules stays unless it has its own."""
    judge = says(score=8)
    own = template(tmp_path, "Is this right: {{ actual_output }}\nas against {{ expected_output }}")
    score(judge, rubric=None, template=own)
    assert judge.seen[0].data == {"actual_output": "Because.", "expected_output": "It is so."}
    assert "impartial judge" in judge.seen[0].system
    metric = LLMJudge(judge, "1-10", template=own)
    assert set(metric.reads) == {"actual_output", "expected_output"}
    blocks = "{% block system %}Judge: {{ scale }}{% endblock %}{% block user %}{{ rubric }} {{ data }}{% endblock %}"
    score(judge, template=template(tmp_path, blocks))
    assert judge.seen[1].system.startswith('Judge: "score" is a whole number')
    assert "impartial" not in judge.seen[1].system
    assert judge.seen[1].data == {"query": "Why?", "actual_output": "Because."}


def test_a_dotted_field_has_its_name_with_underscores(tmp_path: Path) -> None:
    judge = says(score=8)
    item = DatasetItem("1", metadata={"tier": "gold"})
    score(judge, item, rubric=None, template=template(tmp_path, "{{ metadata_tier }}"), fields=["metadata.tier"])
    assert judge.seen[0].data == {"metadata.tier": "gold"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"scale": None}, "'scale' is missing; expected 1-10"),
        ({"rubric": None}, "expected a 'rubric'"),
        ({"fields": []}, "fields: found none"),
        ({"fields": ["querry"]}, "no field 'querry'.* Did you mean 'query'"),
        ({"votes": 3, "temperature": 0.0}, "votes: 3 at temperature 0"),
        ({"examples": [{"score": 11}]}, r"examples\[0\]: 'score' is 11; expected a whole number"),
        ({"examples": [{"query": "x"}]}, r"examples\[0\] has no 'score'"),
        ({"examples": [{"score": 5, "qurey": "x"}]}, "unknown key 'qurey'.* Did you mean 'query'"),
        ({"template": "{{ actual_outptu }}"}, "template 'prompts/t.j2' has an unknown variable 'actual_outptu'"),
        ({"template": "{{ query }}"}, "does not show {{ rubric }}"),
        ({"template": "{{ rubric }}"}, "shows nothing of the item"),
        ({"template": "{{ rubric }} {{ query }}", "fields": ["latency"]}, "does not show 'latency'"),
        ({"template": "{% block usr %}{{ rubric }}{{ query }}{% endblock %}"}, "no block 'user'"),
    ],
)
def test_a_wrong_configuration_is_told_before_any_call(tmp_path: Path, params: dict[str, Any], said: str) -> None:
    if "template" in params:
        params = params | {"template": template(tmp_path, params["template"])}
    with pytest.raises(ConfigError, match=said):
        LLMJudge(says(score=8), **{"scale": "1-10", "rubric": RUBRIC} | params)


def test_the_prompts_digests_are_part_of_the_identity(tmp_path: Path) -> None:
    """A changed template is another metric."""
    one = LLMJudge(says(score=1), "1-10", template=template(tmp_path, "{{ query }}")).identity
    other = LLMJudge(says(score=1), "1-10", template=template(tmp_path, "{{ query }}!")).identity
    assert one != other
    assert set(LLMJudge(says(score=1), "1-10", RUBRIC).identity) == {
        "prompt llm_judge",
        "prompt rules",
        "prompt repair",
    }


def through_the_runner(judge: Any, *items: DatasetItem) -> list[ItemResult]:
    metric = bind(LLMJudge, "Reasoned", {"model": judge, "scale": "1-10", "rubric": RUBRIC})

    async def run() -> list[ItemResult]:
        return [each async for each in Runner([metric]).run(items)]

    return asyncio.run(run())


def test_the_runner_records_scores_and_kinds() -> None:
    """One item is judged, one fails with its kind, one has nothing to judge."""
    judge = ScriptedJudge(lambda seen: "prose" if "Bad" in seen.user else seen.verdict(reason="r", score=10))
    bad, empty = DatasetItem("2", query="Bad", actual_output="x"), DatasetItem("3", query="only")
    found = {each.item.id: each for each in through_the_runner(judge, ITEM, bad, empty)}
    assert [each.value for each in found["1"].scores] == [1.0]
    assert [each.kind for each in found["2"].failures] == ["JudgeProse"]
    assert found["3"].not_applicable == ("Reasoned",)
