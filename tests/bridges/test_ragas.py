"""ragas' metrics, with the real package: their numbers and words come through, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.errors import ConfigError, OverBudget
from shared.core.records import DatasetItem
from tests.bridges.helping import UNTOUCHED, applies, bound, failed, here, probed, results, scored
from tests.bridges.scripted import Scripted
from tests.wiring.project import Project

pytestmark = here("ragas")

QUIBBLE = DatasetItem(
    id="quibble",
    query="Where is Quibble?",
    actual_output="Quibble is in Zorblax. I like tea.",
    expected_output="In Zorblax.",
    retrieved_content=("Quibble lies in Zorblax.",),
)
VERDICTS = {
    "statements": [
        {"statement": "Quibble is in Zorblax.", "reason": "said so", "verdict": 1},
        {"statement": "I like tea.", "reason": "not said", "verdict": 0},
    ]
}
FAITHFULNESS = [
    ('"verdict"', VERDICTS),
    ('"statements"', {"statements": ["Quibble is in Zorblax.", "I like tea."]}),
]


class Letters:
    """An embedding model that counts letters."""

    name = "letters"

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [tuple(float(text.lower().count(letter)) + 0.01 for letter in "abcdefghijklm") for text in texts]


def test_score_and_cost_come_through() -> None:
    """One of two claims stands in the sources. ragas has no threshold and gives no reason here."""
    score = scored(bound("ragas:Faithfulness", Scripted(FAITHFULNESS)), QUIBBLE)
    assert (score.value, score.threshold, score.passed, score.explanation) == (0.5, None, None, "")
    assert score.cost == pytest.approx(0.02)
    assert score.metric.version.startswith("0.4")


def test_a_reason_comes_through_where_ragas_gives_one() -> None:
    """Rubrics are graded from 1 to 5, with feedback."""
    model = Scripted([('"feedback"', {"feedback": "clear and short", "score": 4})])
    score = scored(bound("ragas:RubricsScoreWithoutReference", model), QUIBBLE)
    assert (score.value, score.explanation) == (4.0, "clear and short")


def test_items_at_once_do_not_mix() -> None:
    """Twenty items, eight at once: each has the score of its own answers."""
    good = {"statements": [{"statement": "GOOD", "reason": "", "verdict": 1}]}
    evil = {"statements": [{"statement": "EVIL", "reason": "", "verdict": 0}]}
    claims = [(f'"statements" & {word}', {"statements": [word]}) for word in ("GOOD", "EVIL")]
    model = Scripted([('"verdict" & GOOD', good), ('"verdict" & EVIL', evil), *claims])
    items = [
        DatasetItem(id=str(number), query="q", actual_output=word, retrieved_content=("source",))
        for number, word in enumerate(["GOOD", "EVIL"] * 10)
    ]
    found = {key: each.scores[0].value for key, each in results(bound("ragas:Faithfulness", model), items).items()}
    assert found == {str(number): float(number % 2 == 0) for number in range(20)}


@pytest.mark.parametrize("answer", ["I would say it is fine.", "", "{}", "<html>busy</html>", '{"statements": 3}'])
def test_a_judge_that_does_not_keep_to_the_form_is_a_failure(answer: str) -> None:
    """Never a score, and the failure shows what came instead."""
    failure = failed(bound("ragas:Faithfulness", Scripted([("", answer)])), QUIBBLE)
    assert failure.kind == "BadAnswer"


def test_what_ragas_swallows_is_told_all_the_same() -> None:
    """Answer accuracy catches every error, tries again five times, and says NaN; the failure is the judge's."""
    failure = failed(bound("ragas:AnswerAccuracy", Scripted([("", "fine, I think")])), QUIBBLE)
    assert (failure.kind, failure.message) == ("BadAnswer", "the judge answered with 'fine, I think'; expected JSON")


def test_an_ended_budget_ends_the_run_though_ragas_swallows_it() -> None:
    """What no item can change is raised out of the run."""
    metric = bound("ragas:AnswerAccuracy", Scripted([("", OverBudget("no money left"))]))
    with pytest.raises(OverBudget, match="no money left"):
        results(metric, [QUIBBLE])


def test_metrics_without_a_model() -> None:
    """Computed by ragas itself; a choice is given by its name."""
    assert scored(bound("ragas:ExactMatch"), QUIBBLE).value == 0.0
    similar = scored(bound("ragas:NonLLMStringSimilarity", distance_measure="jaro"), QUIBBLE).value
    assert 0.5 < similar < 1.0
    assert bound("ragas:NoiseSensitivity", Scripted([])).inverse


def test_vectors_come_from_the_embedder() -> None:
    """Answer relevancy: three questions are guessed from the answer and compared with the real one."""
    model = Scripted([('"noncommittal"', {"question": "Where is Quibble?", "noncommittal": 0})])
    score = scored(bound("ragas:AnswerRelevancy", model, embedder=Letters()), QUIBBLE)
    assert score.value == pytest.approx(1.0)
    assert len(model.asked) == 3


def test_tools_of_a_conversation_come_through() -> None:
    """Both calls were expected, in this order."""
    calls = (ToolCall("look_up", {"name": "Quibble"}), ToolCall("answer"))
    talk = Conversation((Message("user", "Where?"), Message("assistant", "Let me see", calls)))
    item = DatasetItem(conversation=talk, expected_tools=calls)
    assert scored(bound("ragas:ToolCallAccuracy"), item).value == 1.0
    assert not applies(bound("ragas:ToolCallAccuracy"), QUIBBLE)


def test_what_an_item_lacks_makes_it_not_applicable() -> None:
    """No sources, no faithfulness; no gold answer, no exact match."""
    assert not applies(bound("ragas:Faithfulness", Scripted([])), DatasetItem(query="q", actual_output="a"))
    assert not applies(bound("ragas:ExactMatch"), DatasetItem(query="q", actual_output="a"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ragas:Faithfullness", "Did you mean 'Faithfulness'"),
        ("ragas:MultiModalFaithfulness", "judges pictures"),
        ("ragas:SemanticSimilarity", "use class: embedding_similarity"),
        ("ragas.metrics:DiscreteMetric", "is no metric of ragas"),
    ],
)
def test_what_cannot_be_bridged_is_refused_before_any_work(name: str, told: str) -> None:
    """With the reason, or the nearest name."""
    with pytest.raises(ConfigError, match=told):
        bound(name, Scripted([]))


def test_from_yaml_to_scores(tmp_path: Path) -> None:
    """A run with a judge of `models`."""
    project = Project(tmp_path)
    item = '{"id": "i", "query": "q", "actual_output": "a1", "retrieved_content": ["s"]}\n'
    project.write("items.jsonl", item)
    head = "name: theirs\nsource: {type: file, name: cli, path: items.jsonl, window: all}\nmetrics_config:\n"
    project.write("m.yaml", head + "  A: {class: 'ragas:Faithfulness', model: offline}\n")
    assert project.report()["counts"]["scored"] == 1


def test_nothing_is_left_behind_and_nobody_is_called(tmp_path: Path) -> None:
    """No hook, variable, tracer, handler, thread or file changes, and no address is called, not even at exit."""
    found = probed(tmp_path, "ragas:Faithfulness", FAITHFULNESS)
    assert found.pop("values") == [0.5, 0.5]
    assert found == UNTOUCHED
