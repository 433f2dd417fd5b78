"""Reading a verdict: exactly what was asked for, or a failure with its kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.verdicts import object_schema, read_verdict

SHAPE = object_schema(
    {
        "reason": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
        "sure": {"type": "boolean"},
        "claims": {
            "type": "array",
            "maxItems": 2,
            "items": object_schema({"text": {"type": "string"}, "is": {"type": "string", "enum": ["true", "false"]}}),
        },
        "part": {"type": "number", "minimum": 0, "maximum": 1},
    }
)
GOOD: dict[str, Any] = {"reason": "r", "score": 8, "sure": True, "claims": [{"text": "t", "is": "true"}], "part": 0.5}
TEXT = json.dumps(GOOD)


@pytest.mark.parametrize("around", ["{}", "  \n{}\n", "```json\n{}\n```", "```\n{}\n```", "\n``` \n{}```\n"])
def test_white_space_and_one_code_fence_are_tolerated(around: str) -> None:
    assert read_verdict(around.replace("{}", TEXT), SHAPE) == GOOD


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    found = read_verdict(json.dumps({**GOOD, "score": 8.0}), SHAPE)["score"]
    assert (found, type(found)) == (8, int)


WRONG = {
    "JudgeEmpty": ["", " \n\t", "```json\n```"],
    "JudgeHtml": ["<html>", " <!doctype HTML>x", "<p>8</p>", "<?xml version='1.0'?>"],
    "JudgeProse": [
        f"Sure! {TEXT}",
        f"{TEXT} I hope this helps",
        f"{TEXT}{TEXT}",
        f"{TEXT}\n{TEXT}",
        f"```json\n{TEXT}\n```\n```json\n{TEXT}\n```",
        f"```json\n{TEXT}\n``` and more",
        TEXT[:-1],
        TEXT.replace('"', "'"),
        f"<|im_start|>{TEXT}",
        "\ufeff" + TEXT,
        "1" * 5000,
        "x" * 2_000_000,
    ],
    "JudgeMalformed": [
        "null",
        "8",
        "[]",
        f"[{TEXT}]",
        '"text"',
        json.dumps({**GOOD, "extra": 1}),
        json.dumps({key: value for key, value in GOOD.items() if key != "sure"}),
        json.dumps({**GOOD, "score": "8"}),
        json.dumps({**GOOD, "score": True}),
        json.dumps({**GOOD, "score": None}),
        json.dumps({**GOOD, "score": [8]}),
        json.dumps({**GOOD, "reason": 8}),
        json.dumps({**GOOD, "sure": 1}),
        json.dumps({**GOOD, "claims": [GOOD["claims"][0]] * 3}),
        json.dumps({**GOOD, "claims": [{"text": "t"}]}),
        json.dumps({**GOOD, "claims": [{"text": "t", "is": "true", "x": 1}]}),
        TEXT[:-1] + ', "score": 10}',
        TEXT.replace('"text": "t"', '"text": "t", "text": "u"'),
        "[" * 100_000,
    ],
    "JudgeNotFinite": [
        "NaN",
        "nan",
        "-Infinity",
        TEXT.replace("0.5", "NaN"),
        TEXT.replace("0.5", "-Infinity"),
        TEXT.replace("0.5", "1e999"),
        TEXT.replace("0.5", '"NaN"'),
        TEXT.replace("8", "Infinity"),
    ],
    "JudgeOutOfScale": [
        json.dumps({**GOOD, "score": 0}),
        json.dumps({**GOOD, "score": 11}),
        json.dumps({**GOOD, "score": 10**400}),
        json.dumps({**GOOD, "score": 7.5}),
        json.dumps({**GOOD, "part": -0.01}),
        json.dumps({**GOOD, "claims": [{"text": "t", "is": "True"}]}),
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts])
def test_everything_else_is_a_failure_with_its_kind(kind: str, text: str) -> None:
    with pytest.raises(JudgeError) as told:
        read_verdict(text, SHAPE)
    assert type(told.value).__name__ == kind, told.value
    assert len(str(told.value)) < 400
    assert "\n" not in str(told.value)


def test_what_no_store_can_hold_is_replaced() -> None:
    """Half a surrogate pair and NUL in a reason."""
    found = read_verdict(json.dumps({**GOOD, "reason": "a\ud800b\0c\U0001f642"}), SHAPE)
    assert found["reason"] == "a\ufffdb\ufffdc\U0001f642"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "x"]) | st.text(), inner),
    max_leaves=12,
)


@given(st.text() | json_values.map(json.dumps) | st.builds("{}{}{}".format, st.text(), st.just(TEXT), st.text()))
def test_any_text_is_a_verdict_or_a_judges_failure(text: str) -> None:
    """Never another error; and what is read has exactly the keys and ranges that were asked for."""
    try:
        found = read_verdict(text, SHAPE)
    except JudgeError as error:
        assert str(error).isprintable()
        return
    assert list(found) == list(GOOD)
    assert 1 <= found["score"] <= 10
    assert 0 <= found["part"] <= 1
