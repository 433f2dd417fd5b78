"""The expected value of a verdict under the judge's own probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.results import LMResult
from shared.scoring.judging.expected_verdict import find_expected_verdict
from shared.scoring.judging.scales import parse_scale

TEN = parse_scale("1-10").literals


def answer(*tokens: str | tuple[str, Mapping[str, float]]) -> LMResult:
    """An answer of tokens; those with alternatives give each one's probability, the written one's too."""
    texts = [each if isinstance(each, str) else each[0] for each in tokens]
    chances: Sequence[Mapping[str, float]] = [{each: 1.0} if isinstance(each, str) else each[1] for each in tokens]
    tops = tuple({token: math.log(chance) for token, chance in each.items()} for each in chances)
    logprobs = tuple(top[text] for text, top in zip(texts, tops, strict=True))
    return LMResult("".join(texts), logprobs, tuple(texts), tops)


def test_alternatives_of_one_token_are_weighed() -> None:
    """0.6 for 8, 0.3 for 9, 0.1 for 7."""
    found = find_expected_verdict(
        answer('{"score": ', ("8", {"8": 0.6, "9": 0.3, "7": 0.1}), ', "check": "x"}'), "score", TEN
    )
    assert found is not None
    assert found.value == pytest.approx((0.6 * 7 + 0.3 * 8 + 0.1 * 6) / 9)
    assert found.mass == pytest.approx(1.0)


def test_numbers_of_several_tokens_have_joint_probabilities() -> None:
    """ "10" as "1" and "0": 0.5 x 0.8; "1" that ends there 0.5 x 0.2; 9 has 0.5."""
    ten = answer('{"score":', ("1", {"1": 0.5, "9": 0.5}), ("0", {"0": 0.8, ",": 0.2}), ("}", {"}": 1.0}))
    found = find_expected_verdict(ten, "score", TEN)
    assert found is not None
    assert found.value == pytest.approx(0.4 * 1.0 + 0.1 * 0.0 + 0.5 * 8 / 9)


def test_a_one_that_might_have_been_a_ten_is_told_by_the_next_token() -> None:
    one = answer('{"score":', ("1", {"1": 1.0}), ("}", {"}": 0.7, "0": 0.3}))
    found = find_expected_verdict(one, "score", TEN)
    assert found is not None
    assert found.value == pytest.approx(0.3)


def test_an_alternative_that_may_be_one_or_ten_is_left_out() -> None:
    found = find_expected_verdict(answer('{"score": ', ("8", {"8": 0.7, "1": 0.3}), "}"), "score", TEN)
    assert found is not None
    assert found.value == pytest.approx(7 / 9)
    assert found.mass == pytest.approx(0.7)


def test_tenths_have_tenths_for_alternatives() -> None:
    """0.8 or 0.7 is 0.75 in the mean; 0.85 or 0.7-something is 0.5 x 0.85 and 0.5 x the mean of 0.7 to 0.79."""
    scale = parse_scale("0-1").literals
    tenths = find_expected_verdict(answer('{"score": ', "0", ".", ("8", {"8": 0.5, "7": 0.5}), "}"), "score", scale)
    finer = find_expected_verdict(answer('{"score": ', "0", ".", ("8", {"8": 0.5, "7": 0.5}), "5", "}"), "score", scale)
    assert tenths is not None
    assert finer is not None
    assert tenths.value == pytest.approx(0.75)
    assert finer.value == pytest.approx(0.5 * 0.85 + 0.5 * 0.745, abs=0.005)


def test_tokens_with_a_blank_or_a_comma_are_read() -> None:
    blank = find_expected_verdict(answer('{"score":', (" 8", {" 8": 0.5, " 6": 0.25, "6": 0.25}), "}"), "score", TEN)
    comma = find_expected_verdict(answer('{"score": ', ("8,", {"8,": 0.5, "6,": 0.5}), ' "check": ""}'), "score", TEN)
    assert blank is not None
    assert comma is not None
    assert blank.value == comma.value == pytest.approx(0.5 * 7 / 9 + 0.5 * 5 / 9)


def test_names_are_weighed_by_the_token_that_tells_them_apart() -> None:
    literals = parse_scale("pass_fail").literals
    found = find_expected_verdict(
        answer('{"score": "', ("pass", {"pass": 0.75, "fail": 0.25}), '"}'), "score", literals
    )
    assert found is not None
    assert found.value == pytest.approx(0.75)


def test_the_key_is_the_objects_own() -> None:
    """A "score" inside a text or an inner object is not the score."""
    texts = ('{"reason": "they say \\"score\\": 3, {", "inner": {"score": 3}, "score": ', ("9", {"9": 1.0}), "}")
    found = find_expected_verdict(answer(*texts), "score", TEN)
    assert found is not None
    assert found.value == pytest.approx(8 / 9)


@pytest.mark.parametrize(
    "without",
    [
        LMResult('{"score": 8}'),
        LMResult('{"score": 8}', (-0.1,), ('{"score": 8}',)),
        answer('{"score": ', ("8", {"8": 0.3, "x": 0.7}), "}"),
        answer('{"other": ', ("8", {"8": 1.0}), "}"),
        answer('{"score": ', ("11", {"11": 1.0}), "}"),
        LMResult('{"score": 8}', (-0.1,), ("other",), ({"other": -0.1},)),
    ],
)
def test_without_telling_alternatives_nothing_is_weighed(without: LMResult) -> None:
    assert find_expected_verdict(without, "score", TEN) is None


@given(st.dictionaries(st.sampled_from([str(n) for n in range(1, 11)] + ["x", " 3", "2,"]), st.floats(0.01, 1.0)))
def test_an_expected_value_stays_on_the_scale(chances: dict[str, float]) -> None:
    """Between the least and the greatest value that has a share."""
    total = sum(chances.values()) + 1
    tops = {token: share / total for token, share in chances.items()} | {"5": 1 / total}
    found = find_expected_verdict(answer('{"score": ', ("5", tops), "}"), "score", TEN)
    assert found is None or (0.0 <= found.value <= 1.0 and 0.5 <= found.mass <= 1.0)
