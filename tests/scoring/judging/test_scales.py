"""Scales: what they ask for, and what their verdicts are worth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.scoring.judging.scales import parse_scale

CATEGORIES = {"wrong": 0.0, "partly": 0.3, "right": 1.0}


@pytest.mark.parametrize(
    ("given_scale", "raw", "value"),
    [
        ("1-10", 1, 0.0),
        ("1-10", 10, 1.0),
        ("1-10", 4, 1 / 3),
        ("1-5", 3, 0.5),
        ("0-10", 5, 0.5),
        ("0-1", 0.25, 0.25),
        ("0-1", 1, 1.0),
        ("pass_fail", "pass", 1.0),
        ("pass/fail", "fail", 0.0),
        (["bad", "fair", "good"], "fair", 0.5),
        (CATEGORIES, "partly", 0.3),
    ],
)
def test_a_verdict_has_its_worth(given_scale: Any, raw: Any, value: float) -> None:
    assert parse_scale(given_scale).value(raw) == pytest.approx(value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "'scale' is missing; expected 1-10"),
        ("ten", "found 'ten'; expected 1-10"),
        ("10-1", "the lower bound first"),
        ("5-5", "the lower bound first"),
        (["only"], "at least two different names"),
        (["a", "a"], "at least two different names"),
        ([True, False], "found the name True"),
        ({"a": 0.0, "b": 1.5}, "'b' has the value 1.5"),
        ({"a": 0.0, "b": True}, "'b' has the value True"),
        ({"a": 0.0}, "at least two names"),
        ({"a": 0.0, "b": 0.0}, "have one value"),
        ({"a\n": 0.0, "b": 1.0}, "found the name"),
    ],
)
def test_a_wrong_scale_is_told(wrong: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_scale(wrong)


@given(st.integers(0, 50), st.integers(1, 50))
def test_whole_numbers_rise_from_0_to_1(low: int, more: int) -> None:
    """Monotone, and its ends are 0 and 1."""
    scale = parse_scale(f"{low}-{low + more}")
    found = [scale.value(raw) for raw in range(low, low + more + 1)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0.0, 1.0)


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=2, max_size=8, unique=True))
def test_names_rise_in_their_order(names: list[str]) -> None:
    scale = parse_scale(names)
    found = [scale.value(name) for name in names]
    assert found == sorted(set(found))
    assert (found[0], found[-1], scale.has_names) == (0.0, 1.0, True)


def test_literals_are_what_a_judge_can_write() -> None:
    assert parse_scale("1-3").literals == {"1": 0.0, "2": 0.5, "3": 1.0}
    assert parse_scale("pass_fail").literals == {'"fail"': 0.0, '"pass"': 1.0}
    assert {"0", "0.5", "0.50", "0.05", "1", "1.0"} <= set(parse_scale("0-1").literals)


def test_few_whole_numbers_are_named_one_by_one() -> None:
    """For servers that keep to a list of values and not to bounds."""
    assert parse_scale("1-3").schema == {"type": "integer", "minimum": 1, "maximum": 3, "enum": [1, 2, 3]}
    assert "enum" not in parse_scale("0-100").schema
