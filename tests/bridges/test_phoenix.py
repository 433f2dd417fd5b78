"""Phoenix's evaluators, with the real package: their numbers and words come through, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from tests.bridges.helping import UNTOUCHED, applies, bound, failed, here, probed, results, scored
from tests.bridges.scripted import Scripted
from tests.wiring.project import Project

pytestmark = here("phoenix")

QUIBBLE = DatasetItem(
    id="quibble",
    query="Where is Quibble?",
    actual_output="Quibble is in Zorblax.",
    expected_output="In Zorblax.",
    retrieved_content=("Quibble lies in Zorblax.",),
)
FAITHFUL = [('"faithful"', {"explanation": "the source says so", "label": "faithful"})]


def test_score_reason_label_and_cost_come_through() -> None:
    """A label is a number; its explanation is the judge's. Phoenix has no threshold."""
    model = Scripted(FAITHFUL)
    score = scored(bound("phoenix:FaithfulnessEvaluator", model), QUIBBLE)
    assert (score.value, score.threshold, score.passed) == (1.0, None, None)
    assert (score.explanation, score.signals) == ("the source says so", {"label": "faithful"})
    assert score.cost == pytest.approx(0.01)
    assert "Quibble lies in Zorblax." in model.asked[0]


def test_lower_is_better_where_phoenix_says_minimize() -> None:
    """A hallucination scores 1 and fails a threshold of 0.5."""
    model = Scripted([('"hallucinated"', {"explanation": "made up", "label": "hallucinated"})])
    metric = bound("phoenix:HallucinationEvaluator", model)
    assert metric.inverse
    assert not bound("phoenix:FaithfulnessEvaluator", model).inverse


def test_items_at_once_do_not_mix() -> None:
    """Twenty items, eight at once: each has the score and the reason of its own answer."""
    labels = (("GOOD", "faithful"), ("EVIL", "unfaithful"))
    model = Scripted([(word, {"explanation": word, "label": label}) for word, label in labels])
    items = [
        DatasetItem(id=str(number), query="q", actual_output=word, retrieved_content=("s",))
        for number, word in enumerate(["GOOD", "EVIL"] * 10)
    ]
    found = results(bound("phoenix:FaithfulnessEvaluator", model), items)
    told = {key: (each.scores[0].value, each.scores[0].explanation) for key, each in found.items()}
    assert told == {str(number): (0.0, "EVIL") if number % 2 else (1.0, "GOOD") for number in range(20)}


@pytest.mark.parametrize("answer", ["Faithful, I think.", "", "{}", "[]", '{"label": "half", "explanation": ""}'])
def test_a_judge_that_does_not_keep_to_the_form_is_a_failure(answer: str) -> None:
    """Never a score."""
    failure = failed(bound("phoenix:FaithfulnessEvaluator", Scripted([("", answer)])), QUIBBLE)
    assert failure.kind == "BadAnswer"


def test_evaluators_without_a_model() -> None:
    """A function of theirs, a pattern, and one that gives three numbers: the F score with its parts."""
    assert scored(bound("phoenix:exact_match"), QUIBBLE).value == 0.0
    assert scored(bound("phoenix:MatchesRegex", pattern="Zor"), QUIBBLE).value == 1.0
    ranked = DatasetItem(actual_ranking=({"id": "a"}, {"id": "b"}), expected_ranking=({"id": "a"}, {"id": "c"}))
    rows = results(bound("phoenix:PrecisionRecallFScore"), [ranked])[ranked.id].scores
    assert len(rows) == 4
    assert {row.kind for row in rows} == {"aggregate", "sub_metric"}


def test_a_conversation_is_given_as_a_transcript() -> None:
    """With tools and what they answered."""
    talk = Conversation(
        (
            Message("user", "Where?"),
            Message("assistant", "Let me see", (ToolCall("look_up", {"name": "Quibble"}),)),
            Message("tool", "in Zorblax"),
            Message("assistant", "In Zorblax."),
        )
    )
    model = Scripted([("user: Where?", {"explanation": "e", "label": "complete"})])
    assert scored(bound("phoenix:CompletenessEvaluator", model), DatasetItem(conversation=talk)).value == 1.0
    handled = Scripted([("look_up & in Zorblax", {"explanation": "e", "label": "correct"})])
    assert scored(bound("phoenix:ToolResponseHandlingEvaluator", handled), DatasetItem(conversation=talk)).value == 1.0


def test_what_an_item_lacks_makes_it_not_applicable() -> None:
    """No sources, no faithfulness; no gold answer, no exact match."""
    bare = DatasetItem(query="q", actual_output="a")
    assert not applies(bound("phoenix:FaithfulnessEvaluator", Scripted([])), bare)
    assert not applies(bound("phoenix:exact_match"), bare)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("phoenix:FaithfulEvaluator", "Did you mean 'FaithfulnessEvaluator'"),
        ("phoenix.evals.llm:LLM", "is no metric of arize-phoenix-evals"),
    ],
)
def test_what_cannot_be_bridged_is_refused_before_any_work(name: str, told: str) -> None:
    """With the reason, or the nearest name."""
    with pytest.raises(ConfigError, match=told):
        bound(name, Scripted([]))


def test_from_yaml_to_scores(tmp_path: Path) -> None:
    """A run with a judge of `models`, by the dotted path."""
    project = Project(tmp_path)
    project.write("items.jsonl", '{"id": "i", "query": "q", "actual_output": "a1", "retrieved_content": ["s"]}\n')
    head = "name: theirs\nsource: {type: file, name: cli, path: items.jsonl, window: all}\nmetrics_config:\n"
    project.write("m.yaml", head + "  A: {class: 'phoenix.evals.metrics:FaithfulnessEvaluator', model: offline}\n")
    assert project.report()["counts"]["scores"] == 1


def test_nothing_is_left_behind_and_nobody_is_called(tmp_path: Path) -> None:
    """No hook, variable, tracer, handler, thread or file changes, no address is called, not even at exit, and the
    host's tracer gets no span with judged text.
    """
    found = probed(tmp_path, "phoenix:FaithfulnessEvaluator", FAITHFUL)
    assert found.pop("values") == [1.0, 1.0]
    assert found == UNTOUCHED
