import json
import math

import pytest
from hypothesis import given, reject

from shared.scoring.metrics.format import format_json, format_length, format_markdown, format_schema
from tests.core.items import JSON, repeatably
from tests.scoring.scored import DatasetItem, applies, metric_of, result_of, score_of

CLAIM = {
    "type": "object",
    "required": ["id", "amount"],
    "additionalProperties": False,
    "properties": {"id": {"type": "string"}, "amount": {"type": "number", "minimum": 0}},
}


@repeatably
@given(JSON)
def test_whatever_json_writes_is_json(value: object) -> None:
    """With and without white space, and in a fence where fences are allowed."""
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError:  # infinity, of which there is none in JSON
        reject()
    assert format_json(text).value == 1.0
    assert format_json(f"\n```json\n{text}\n```\n", fenced=True).value == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Here it is: {}",
        "{'a': 1}",
        '{"a": 1,}',
        "NaN",
        '{"a": Infinity}',
        "-Infinity",
        '{"a": 1} {"b": 2}',
        '{"a": 1',
        "```json\n{}\n```",
        "[" * 200_000,
        '{"a":' * 100_000,
    ],
)
def test_nearly_json_is_not_json(text: str) -> None:
    """Python's constants, trailing commas, talk around it, a fence that was not allowed, a million brackets."""
    score = score_of("format_json", {"actual_output": text or " "})
    assert score.value == 0.0
    assert score.explanation.startswith("not JSON")


@pytest.mark.parametrize(("text", "kind", "value"), [("{}", "object", 1.0), ("[]", "object", 0.0), ("1", "any", 1.0)])
def test_the_kind_of_value_counts(text: str, kind: str, value: float) -> None:
    """A bare number is JSON; whoever wants an object says so."""
    assert score_of("format_json", {"actual_output": text}, kind=kind).value == value


def test_an_answer_fits_its_schema_or_the_first_misfit_is_told() -> None:
    """Where it is wrong stands in the explanation."""
    right = {"actual_output": '{"id": "c-1", "amount": 12.5}'}
    assert score_of("format_schema", right, json_schema=CLAIM).value == 1.0
    score = score_of("format_schema", {"actual_output": '{"id": "c-1", "amount": -1}'}, json_schema=CLAIM)
    assert (score.value, score.passed) == (0.0, False)
    assert score.explanation == "at $.amount: -1 is less than the minimum of 0"
    assert score_of("format_schema", {"actual_output": "no"}, json_schema=CLAIM).explanation.startswith("not JSON")
    fenced = {"actual_output": "```\n" + right["actual_output"] + "\n```"}
    assert score_of("format_schema", fenced, json_schema=CLAIM, fenced=True).value == 1.0


def test_a_schema_fetches_nothing() -> None:
    """A reference to somewhere else is an error of the metric, even when it was not checked before."""
    result = result_of("format_schema", {"actual_output": "{}"}, json_schema={"$ref": "http://127.0.0.1:9/s.json"})
    assert [each.kind for each in result.failures] == ["_WrappedReferencingError"]


def test_a_thousand_errors_are_counted_up_to_ten() -> None:
    """A long list of wrong values does not make a long record."""
    text = json.dumps(["x"] * 1000)
    score = format_schema(text, json_schema={"type": "array", "items": {"type": "number"}})
    assert score.signals is not None
    assert len(score.signals["places"]) == 10


MARKDOWN = [
    ("# Title\n\n- one\n- two", 1.0),
    ("Title\n=====\n\n1. one\n2) two", 1.0),
    ("Title\n---\ntext", 0.5),
    ("## Only a header", 0.5),
    ("* only\n  + a list", 0.5),
    ("plain text with - a dash and # a sign", 0.0),
    ("#hashtag\n-5 degrees\n1.5 percent", 0.0),
    ("```\n# comment\n- flag\n```", 0.0),
    ("~~~py\n# comment\n```\n- flag", 0.0),
    ("- - -\n* * *", 0.0),
    ("---", 0.0),
    ("- item\n---", 0.5),
    ("", 0.0),
]


@pytest.mark.parametrize(("text", "value"), MARKDOWN)
def test_half_for_headers_and_half_for_lists(text: str, value: float) -> None:
    """As CommonMark reads them: not in code, not hashtags, numbers, dashes or rules."""
    assert format_markdown(text).value == value


def length(text: str, **params: int) -> float:
    score = format_length(DatasetItem(actual_output=text), **params)  # type: ignore[arg-type]  # numbers only here
    assert score is not None
    return score.value


def test_length_within_bounds_is_1_and_outside_in_proportion() -> None:
    """Five of ten wanted tokens are half; twice too many are half as well."""
    assert length("a b c, d", min_tokens=5, max_tokens=5) == 1.0
    assert length("a b c d e", min_tokens=10) == 0.5
    assert length("a b c d e f", max_tokens=3) == 0.5
    assert length("", min_tokens=3) == 0.0
    assert length("") == 1.0


def test_tokens_may_be_the_models_own() -> None:
    """They are counted by the logprobs; an answer without any does not apply."""
    item = {"actual_output": "unbelievable", "token_logprobs": [-0.1, -0.2, -0.3]}
    assert score_of("format_length", item, max_tokens=3, count_by="model").signals == {"tokens": 3}
    assert not applies("format_length", {"actual_output": "a"}, max_tokens=3, count_by="model")


def test_bounds_that_cross_are_an_error() -> None:
    """Nothing could ever pass them."""
    assert result_of("format_length", {"actual_output": "a"}, min_tokens=5, max_tokens=4).failures


@pytest.mark.parametrize("name", ["format_json", "format_markdown", "format_length"])
def test_a_megabyte_is_judged(name: str) -> None:
    """Hostile sizes and signs cost time in proportion, not more."""
    for text in ("- # 1. " * 150_000, "`" * 1_000_000, "\n" * 1_000_000, "[{" * 500_000, "    -" * 200_000):
        assert math.isfinite(score_of(name, {"actual_output": text}).value)


def test_a_fence_around_a_megabyte_of_spaces_is_read() -> None:
    """In time proportional to it, too."""
    for text in ("```\n" + " " * 1_000_000 + "x", "```json\n[1]\n" + " " * 1_000_000 + "```"):
        assert math.isfinite(score_of("format_json", {"actual_output": text}, fenced=True).value)


def test_thresholds() -> None:
    """Half of the Markdown is not enough, as is an answer that is a little too long."""
    assert metric_of("format_markdown").threshold == metric_of("format_length").threshold == 1.0
