"""autoevals' scorers, with the real package: their numbers and words come through, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from tests.bridges.helping import UNTOUCHED, applies, bound, failed, here, probed, results, scored
from tests.bridges.scripted import Scripted
from tests.wiring.project import Project

pytestmark = here("autoevals")

QUIBBLE = DatasetItem(
    id="quibble",
    query="Where is Quibble?",
    actual_output="Quibble is in Zorblax & not in <Earth>.",
    expected_output="In Zorblax.",
    retrieved_content=("Quibble lies in Zorblax.",),
    acceptance_criteria=("names the place",),
)
FACTUALITY = [('"choice"', {"reasons": "it says more than the expert", "choice": "B"})]


def test_score_reason_and_cost_come_through() -> None:
    """A superset of the expert's answer is worth 0.6; the rationale is the judge's. autoevals has no threshold."""
    model = Scripted(FACTUALITY)
    score = scored(bound("autoevals:Factuality", model), QUIBBLE)
    assert (score.value, score.threshold, score.passed) == (0.6, None, None)
    assert score.explanation == "it says more than the expert"
    assert score.signals == {"choice": "B"}
    assert score.cost == pytest.approx(0.01)
    assert "Zorblax & not in <Earth>" in model.asked[0]


def test_a_choice_is_forced_by_a_schema() -> None:
    """The tool that autoevals forces a model to call is asked for as JSON with its choices."""
    model = Scripted(FACTUALITY)
    scored(bound("autoevals:Factuality", model), QUIBBLE)
    choice = model.params[0]["response_format"]["json_schema"]["schema"]["properties"]["choice"]
    assert choice["enum"] == ["A", "B", "C", "D", "E"]


def test_items_at_once_do_not_mix() -> None:
    """Twenty items, eight at once: each has the score and the reason of its own answer."""
    model = Scripted([(word, {"reasons": word, "choice": choice}) for word, choice in (("GOOD", "C"), ("EVIL", "D"))])
    items = [
        DatasetItem(id=str(number), query="q", actual_output=word, expected_output="e")
        for number, word in enumerate(["GOOD", "EVIL"] * 10)
    ]
    found = results(bound("autoevals:Factuality", model), items)
    told = {key: (each.scores[0].value, each.scores[0].explanation) for key, each in found.items()}
    assert told == {str(number): (0.0, "EVIL") if number % 2 else (1.0, "GOOD") for number in range(20)}


@pytest.mark.parametrize("answer", ["I would say B.", "", "{}", "<html>busy</html>", '{"reasons": "", "choice": "Z"}'])
def test_a_judge_that_does_not_keep_to_the_form_is_a_failure(answer: str) -> None:
    """Never a score."""
    failure = failed(bound("autoevals:Factuality", Scripted([("", answer)])), QUIBBLE)
    assert failure.kind == "BadAnswer"


def test_scorers_without_a_model() -> None:
    """Computed by autoevals itself; numbers and lists are read from texts."""
    assert (
        scored(bound("autoevals:Levenshtein"), DatasetItem(actual_output="abcd", expected_output="abce")).value == 0.75
    )
    assert scored(bound("autoevals:ValidJSON"), DatasetItem(actual_output='{"a": 1}')).value == 1.0
    assert scored(bound("autoevals:NumericDiff"), DatasetItem(actual_output="9", expected_output="9")).value == 1.0
    lists = DatasetItem(actual_output='["a", "b"]', expected_output='["b", "a"]')
    assert scored(bound("autoevals:ListContains"), lists).value == 1.0
    assert failed(bound("autoevals:NumericDiff"), QUIBBLE).kind == "ItemError"


def test_the_scorers_taken_from_ragas_are_given_the_sources() -> None:
    """autoevals' own faithfulness: claims, then a verdict each."""
    verdicts = [{"statement": "s", "reason": "r", "verdict": verdict} for verdict in (1, 0)]
    model = Scripted([('"verdict"', {"faithfulness": verdicts}), ('"statements"', {"statements": ["s", "t"]})])
    assert scored(bound("autoevals:Faithfulness", model), QUIBBLE).value == 0.5
    assert any("Quibble lies in Zorblax." in each for each in model.asked)


def test_a_classifier_of_the_users_own() -> None:
    """Prompt and choices stand in the YAML."""
    params = {"prompt_template": "Is {{output}} kind?", "choice_scores": {"yes": 1, "no": 0}}
    model = Scripted([("kind", {"reasons": "r", "choice": "yes"})])
    assert scored(bound("autoevals:LLMClassifier", model, **params), QUIBBLE).value == 1.0


def test_what_an_item_lacks_makes_it_not_applicable() -> None:
    """What the prompt is filled with must be there: a gold answer, criteria, the item's own input."""
    bare = DatasetItem(query="q", actual_output="a")
    model = Scripted(
        [("names the place", {"reasons": "r", "choice": "Y"}), ("Spanish", {"reasons": "", "choice": "Y"})]
    )
    assert not applies(bound("autoevals:Factuality", model), bare)
    assert not applies(bound("autoevals:ClosedQA", model), bare)
    assert not applies(bound("autoevals:Translation", model), QUIBBLE)
    assert not applies(bound("autoevals:Levenshtein"), bare)
    assert model.asked == []
    assert scored(bound("autoevals:ClosedQA", model), QUIBBLE).value == 1.0
    spanish = DatasetItem(query="q", actual_output="a", expected_output="e", additional_input={"language": "Spanish"})
    assert scored(bound("autoevals:Translation", model), spanish).value == 1.0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("autoevals:Factualty", "Did you mean 'Factuality'"),
        ("autoevals:EmbeddingSimilarity", "needs embeddings or moderation"),
        ("autoevals:SpecFileClassifier", "has no metric 'SpecFileClassifier'"),
        ("autoevals.score:Score", "is no metric of autoevals"),
    ],
)
def test_what_cannot_be_bridged_is_refused_before_any_work(name: str, told: str) -> None:
    """With the reason, or the nearest name."""
    with pytest.raises(ConfigError, match=told):
        bound(name, Scripted([]))


def test_from_yaml_to_scores(tmp_path: Path) -> None:
    """A run with a judge of `models`, and one without."""
    project = Project(tmp_path)
    head = "name: theirs\nsource: {type: file, name: cli, path: items.jsonl, window: all}\nmetrics_config:\n"
    project.write("items.jsonl", '{"id": "i", "query": "q", "actual_output": "a1", "expected_output": "a1"}\n')
    lines = ["  A: {class: 'autoevals:Factuality', model: offline}\n", "  B: {class: 'autoevals:Levenshtein'}\n"]
    project.write("m.yaml", head + "".join(lines))
    assert project.report()["counts"]["scores"] == 2


def test_nothing_is_left_behind_and_nobody_is_called(tmp_path: Path) -> None:
    """No hook, variable, tracer, handler, thread or file changes, and no address is called, not even at exit."""
    found = probed(tmp_path, "autoevals:Factuality", FACTUALITY)
    assert found.pop("values") == [0.6, 0.6]
    assert found == UNTOUCHED
