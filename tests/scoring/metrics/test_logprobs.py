import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.metrics.logprobs import logprob_mean, logprob_metric, logprob_min, logprob_sum, perplexity
from tests.core.items import repeatably
from tests.scoring.scored import applies, score_of

NAMES = ("logprob_sum", "logprob_mean", "logprob_min", "perplexity", "logprob_metric")
VALUES = st.lists(st.floats(-50, 0), min_size=1, max_size=20)


@repeatably
@given(VALUES)
def test_how_the_measures_order(values: list[float]) -> None:
    """sum <= min <= mean <= 0, and perplexity is that of the mean."""
    total, least, mean, surprise = (each(values) for each in (logprob_sum, logprob_min, logprob_mean, perplexity))
    assert total is not None and least is not None and mean is not None and surprise is not None
    assert total <= least <= mean + 1e-9 <= 1e-9
    assert surprise == pytest.approx(math.exp(-mean))
    assert surprise >= 1


@repeatably
@given(VALUES, st.text(max_size=10), st.lists(st.text(max_size=3), max_size=4))
def test_the_objective_stays_in_its_range(values: list[float], text: str, negatives: list[str]) -> None:
    """Registered with values up to 0.05: whatever the item, there is a score and no failure."""
    item = {"actual_output": text, "gold": text, "token_logprobs": values, "negatives": negatives}
    score = score_of("logprob_metric", item)
    assert sum(values) - 0.45 - 1e-9 <= score.value <= 0.05


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_without_logprobs_is_never_confident(name: str) -> None:
    """No logprobs is no evidence: the earlier sum of nothing was 0, the best there is."""
    for values in ([], None, [-math.inf]):
        assert not applies(name, {"actual_output": "x", "gold": "x", "token_logprobs": values})
    assert logprob_metric("x", [], {"gold": "x"}) == -math.inf


def test_values_that_are_not_finite_are_left_out() -> None:
    """The sum is that of the finite logprobs; what is no number is none."""
    assert logprob_sum([-1.0, -math.inf, math.nan, -2.0]) == -3.0
    assert logprob_metric("a", [-1.0, None, "x", -math.inf], {}) == -1.0  # type: ignore[list-item]  # as files hold them


def test_the_objective_by_its_contract() -> None:
    """Sum of logprobs, 0.05 for the gold answer when there is one, 0.5 times the share of negatives in the text."""
    assert logprob_metric("yes", [-1.0, -0.5], {}) == -1.5
    assert logprob_metric(" yes", [-1.0], {"gold": "yes"}) == pytest.approx(-0.95)
    assert logprob_metric("no", [-1.0], {"gold": "yes"}) == -1.0
    assert logprob_metric("4", [-1.0], {"gold": 4}) == pytest.approx(-0.95)
    assert logprob_metric("yes", [-1.0], {"gold": None}) == -1.0
    assert logprob_metric("bad and worse", [-1.0], {}, ["bad", "ugly"]) == -1.25
    assert logprob_metric("bad", [-1.0], {}, negatives=None) == -1.0


NEGATIVES = [
    ("We GUARANTEE  a\npayout.", ["guarantee a payout"], 1.0),
    ("We guaranteed it", ["guarantee"], 0.0),
    ("It costs 5.", ["cost"], 0.0),
    ("C++ it is", ["c++"], 1.0),
    ("bad", ["", " ", "bad"], 1.0),
    ("bad", ["", " "], 0.0),
]


@pytest.mark.parametrize(("text", "negatives", "share"), NEGATIVES)
def test_negatives_are_whole_words_or_phrases(text: str, negatives: list[str], share: float) -> None:
    """Whatever their case and white space; blank ones occur everywhere and so count for nothing."""
    assert logprob_metric(text, [-1.0], {}, negatives) == -1.0 - 0.5 * share


def test_one_negative_may_be_a_text() -> None:
    """A single phrase is not taken for a list of its letters."""
    assert logprob_metric("b a d", [-1.0], {}, "bad") == -1.0


def test_perplexity_is_finite_and_inverse() -> None:
    """A model that was sure of nothing has a huge perplexity and no failure; a rounding never gives less than 1."""
    assert perplexity([-10_000.0]) == pytest.approx(math.exp(709))
    assert (perplexity([-10_000.0]) or 0) < sys.float_info.max
    assert perplexity([1e-12]) == 1.0
    assert score_of("perplexity", {"token_logprobs": [-0.1]}).passed is None
