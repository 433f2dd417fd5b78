"""deepeval's metrics, with the real package: their numbers and words come through, and nothing stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.errors import BadAnswer, ConfigError
from shared.core.records import DatasetItem
from tests.bridges.helping import UNTOUCHED, applies, bound, failed, here, probed, results, scored
from tests.bridges.scripted import Scripted
from tests.wiring.project import Project

pytestmark = here("deepeval")

QUIBBLE = DatasetItem(
    id="quibble",
    query="Where is Quibble?",
    actual_output="Quibble is in Zorblax. I like tea.",
    expected_output="In Zorblax.",
    retrieved_content=("Quibble lies in Zorblax.",),
)
RELEVANCY = [
    ('"statements"', {"statements": ["Quibble is in Zorblax.", "I like tea."]}),
    ('"verdicts"', {"verdicts": [{"verdict": "yes"}, {"verdict": "no", "reason": "tea is beside the point"}]}),
    ('"reason"', {"reason": "half of it is about tea"}),
]


def test_score_reason_threshold_and_cost_come_through() -> None:
    """Half of the statements are relevant: 0.5 passes deepeval's own default, in deepeval's words."""
    model = Scripted(RELEVANCY)
    score = scored(bound("deepeval:AnswerRelevancyMetric", model), QUIBBLE)
    assert (score.value, score.threshold, score.passed) == (0.5, 0.5, True)
    assert score.explanation == "half of it is about tea"
    assert score.cost == pytest.approx(0.03)
    assert score.model == "scripted"
    assert score.metric.name == "deepeval:AnswerRelevancyMetric"
    assert score.metric.version.startswith("4.")


def test_every_question_goes_to_our_adapter_with_the_schema_it_wants() -> None:
    """Temperature 0 as deepeval asks its own models, and a JSON schema where deepeval has one."""
    model = Scripted(RELEVANCY)
    scored(bound("deepeval:AnswerRelevancyMetric", model), QUIBBLE)
    assert len(model.asked) == 3
    assert {each["temperature"] for each in model.params} == {0.0}
    assert all(each["response_format"]["type"] == "json_schema" for each in model.params)


def test_items_at_once_do_not_mix() -> None:
    """Twenty items, eight at once: each has the score and the reason of its own answer."""
    good = ('"verdicts" & GOOD', {"verdicts": [{"verdict": "yes"}]})
    bad = ('"verdicts" & EVIL', {"verdicts": [{"verdict": "no", "reason": "x"}]})
    reasons = [('"reason" & GOOD', {"reason": "good"}), ('"reason" & EVIL', {"reason": "bad"})]
    model = Scripted([('"statements"', {"statements": ["one"]}), good, bad, *reasons])
    items = [
        DatasetItem(id=str(number), query=("GOOD" if number % 2 else "EVIL"), actual_output=f"answer {number}")
        for number in range(20)
    ]
    found = results(bound("deepeval:AnswerRelevancyMetric", model), items)
    told = {key: (each.scores[0].value, each.scores[0].explanation) for key, each in found.items()}
    assert told == {str(number): (1.0, "good") if number % 2 else (0.0, "bad") for number in range(20)}


@pytest.mark.parametrize("answer", ["I would say it is fine.", "", "{}", "<html>busy</html>", '{"statements": 3}'])
def test_a_judge_that_does_not_keep_to_the_form_is_a_failure(answer: str) -> None:
    """Never a score: the failure says that the judge's answer could not be used."""
    failure = failed(bound("deepeval:AnswerRelevancyMetric", Scripted([("", answer)])), QUIBBLE)
    assert failure.kind == "BadAnswer"
    assert "deepeval cannot use the judge's answers" in failure.message


def test_an_answer_in_a_fence_is_read() -> None:
    """Models that fence their JSON are understood, as deepeval itself does."""
    script = [(words, f"```json\n{json.dumps(answer)}\n```") for words, answer in RELEVANCY]
    assert scored(bound("deepeval:AnswerRelevancyMetric", Scripted(script)), QUIBBLE).value == 0.5


def test_an_error_of_the_adapter_keeps_its_kind() -> None:
    """What the adapter raises is what is recorded."""
    broken = Scripted([("", BadAnswer("half a page of HTML"))])
    assert failed(bound("deepeval:AnswerRelevancyMetric", broken), QUIBBLE).message == "half a page of HTML"


def test_a_wrong_key_ends_the_run() -> None:
    """An error of the configuration is not taken for a failure of the item."""
    with pytest.raises(ConfigError, match="401"):
        results(bound("deepeval:AnswerRelevancyMetric", Scripted([("", ConfigError("401"))])), [QUIBBLE])


def test_a_metric_without_a_model() -> None:
    """deepeval's own default threshold, 1, stands."""
    score = scored(bound("deepeval:ExactMatchMetric"), QUIBBLE)
    assert (score.value, score.threshold, score.passed, score.cost) == (0.0, 1.0, False, None)
    assert score.explanation == "The actual and expected outputs are different."


def test_what_an_item_lacks_makes_it_not_applicable() -> None:
    """No sources, no faithfulness; no conversation, no relevancy of turns; no expected tools, no tool correctness."""
    model = Scripted([])
    assert not applies(bound("deepeval:FaithfulnessMetric", model), DatasetItem(query="q", actual_output="a"))
    assert not applies(bound("deepeval:TurnRelevancyMetric", model), QUIBBLE)
    assert not applies(bound("deepeval:ToolCorrectnessMetric"), QUIBBLE)
    assert not applies(bound("deepeval:ExactMatchMetric"), DatasetItem(actual_output="a", expected_output="a"))
    assert model.asked == []


def test_tools_come_through() -> None:
    """One of two expected tools was called."""
    item = DatasetItem(
        query="q", actual_output="a", tools_called=(ToolCall("a"),), expected_tools=(ToolCall("a"), ToolCall("b"))
    )
    assert scored(bound("deepeval:ToolCorrectnessMetric"), item).value == 0.5


def test_geval_takes_its_criteria_and_the_fields_it_looks_at() -> None:
    """`evaluation_params` are given by name; the score is GEval's own, 1 to 10 mapped to 0..1."""
    model = Scripted([('"steps"', {"steps": ["read it"]}), ('"score"', {"score": 8, "reason": "mostly polite"})])
    params = {"criteria": "Is it polite?", "evaluation_params": ["input", "actual_output"]}
    score = scored(bound("deepeval:GEval", model, **params), QUIBBLE)
    assert (score.value, score.explanation) == (0.8, "mostly polite")


def test_a_conversation_becomes_turns() -> None:
    """Each answer is judged with what was said before it."""
    said = [("user", "Hello"), ("assistant", "Hi"), ("user", "Where is Quibble?"), ("assistant", "I like tea.")]
    talk = Conversation(tuple(Message(role, text) for role, text in said))  # type: ignore[arg-type]  # roles, both
    script = [('tea & "verdict"', {"verdict": "no", "reason": "tea"}), ('"verdict"', {"verdict": "yes"})]
    model = Scripted([*script, ('"reason"', {"reason": "one of two"})])
    score = scored(bound("deepeval:TurnRelevancyMetric", model), DatasetItem(conversation=talk))
    assert (score.value, score.explanation) == (0.5, "one of two")


def test_hallucination_passes_upwards_since_deepeval_4() -> None:
    """Which way a metric passes is asked of deepeval's own `is_successful`, not remembered here."""
    with pytest.warns(DeprecationWarning, match="same direction"):
        metric = bound("deepeval:HallucinationMetric", Scripted([]))
    assert not metric.inverse


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("deepeval:AnswerRelevancy", "Did you mean 'AnswerRelevancyMetric'?"),
        ("deepeval:DAGMetric", "its parameter 'dag' is an object"),
        ("deepeval:ImageCoherenceMetric", "sound, pictures"),
        ("deepeval:BaseMetric", "has no metric 'BaseMetric'"),
        ("deepeval.metrics:Verdict", "is no metric of deepeval"),
    ],
)
def test_what_cannot_be_bridged_is_refused_before_any_work(name: str, told: str) -> None:
    """With the reason, or the nearest name."""
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")):
        bound(name, Scripted([]))


def test_a_metric_of_live_traces_is_refused() -> None:
    """Task completion needs a trace that deepeval itself recorded."""
    with pytest.raises(ConfigError, match="live trace"):
        bound("deepeval:TaskCompletionMetric", Scripted([]))


def test_a_dotted_path_goes_over_the_same_bridge() -> None:
    """The spelling of the earlier systems gives the same metric."""
    paths = ("deepeval.metrics:ExactMatchMetric", "deepeval.metrics.ExactMatchMetric", "deepeval:ExactMatchMetric")
    assert len({bound(path).ref for path in paths}) == 1


def test_from_yaml_to_scores(tmp_path: Path) -> None:
    """A run with a judge of `models`, and the nearest name for a parameter that does not exist."""
    project = Project(tmp_path)
    item = '{"id": "i", "query": "q", "actual_output": "a1", "expected_output": "a1"}\n'
    project.write("items.jsonl", item)
    head = "name: theirs\nsource: {type: file, name: cli, path: items.jsonl, window: all}\nmetrics_config:\n"
    project.write("m.yaml", head + "  A: {class: 'deepeval:AnswerRelevancyMetric', model: offline, threshold: 0.2}\n")
    assert project.report()["counts"]["scored"] == 1
    project.write("m.yaml", head + "  A: {class: 'deepeval:PatternMatchMetric', pattern: a, ignore_csae: true}\n")
    done = project.run("check", "m.yaml")
    assert done.returncode == 2
    assert "m.yaml:4" in done.stderr
    assert "unknown key 'ignore_csae' for this metric" in done.stderr
    assert "Did you mean 'ignore_case'?" in done.stderr
    project.write("m.yaml", head + "  A: {class: 'deepeval:AnswerRelevancyMetric'}\n")
    assert "'model' is missing" in project.run("check", "m.yaml").stderr


def test_nothing_is_left_behind_and_nobody_is_called(tmp_path: Path) -> None:
    """No hook, variable, tracer, handler, thread or file changes, and no address is called, not even at exit."""
    found = probed(tmp_path, "deepeval:AnswerRelevancyMetric", RELEVANCY)
    assert found.pop("values") == [0.5, 0.5]
    assert found == UNTOUCHED
