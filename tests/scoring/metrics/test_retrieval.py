import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.metrics.retrieval import (
    hit_rate_at_k,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)
from tests.core.items import repeatably
from tests.scoring.scored import applies, result_of, score_of

NAMES = ("hit_rate_at_k", "precision_at_k", "recall_at_k", "ndcg_at_k", "mean_reciprocal_rank")
IDS = st.lists(st.sampled_from("abcdefgh"), max_size=8)
GRADED = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from("abcdefgh")}, optional={"relevance": st.integers(-1, 3)}), max_size=6
)


@repeatably
@given(IDS, GRADED, st.integers(1, 9), st.sampled_from(NAMES))
def test_rankings_score_from_0_to_1(found: list[str], expected: list[dict[str, object]], k: int, name: str) -> None:
    """Any two rankings have a score in the range, or none when nothing is relevant; never a failure."""
    relevant: dict[object, object] = {}
    for entry in expected:
        relevant.setdefault(entry["id"], entry.get("relevance", 1))
    there = any(int(str(grade)) > 0 for grade in relevant.values())
    assert applies(name, {"actual_ranking": found, "expected_ranking": expected}, k=k) == there


@repeatably
@given(IDS, st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True), st.integers(1, 9))
def test_metrics_agree_with_each_other(found: list[str], expected: list[str], k: int) -> None:
    """Recall and hit rate grow with k, precision and recall count the same hits, a hit is a reciprocal rank above 0."""
    hits = [(recall_at_k(found, expected, k=n), precision_at_k(found, expected, k=n)) for n in (k, k + 1)]
    (recall, precision), (more, _) = hits
    assert recall and precision and more
    assert more.value >= recall.value
    assert precision.value * k == pytest.approx(recall.value * len(expected))
    hit, first = hit_rate_at_k(found, expected, k=k), mean_reciprocal_rank(found, expected, k=k)
    gain = ndcg_at_k(found, expected, k=k)
    assert hit and first and gain
    assert (hit.value > 0) == (first.value > 0) == (gain.value > 0) == (recall.value > 0)


@repeatably
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True), st.integers(1, 9))
def test_the_ideal_order_is_1(expected: list[str], k: int) -> None:
    """Whoever retrieves exactly what is expected, in its order, has a perfect nDCG and reciprocal rank."""
    graded = [{"id": each, "relevance": len(expected) - place} for place, each in enumerate(expected)]
    gain, first = ndcg_at_k(expected, graded, k=k), mean_reciprocal_rank(expected, graded)
    assert gain and first
    assert gain.value == pytest.approx(1.0)
    assert first.value == 1.0


def test_textbook_values() -> None:
    """Worked by hand; precision divides by k also when fewer were retrieved, as trec_eval does."""
    item = {"actual_ranking": ["x", "a", "y", "b"], "expected_ranking": ["a", "b", "c"]}
    assert score_of("precision_at_k", item, k=4).value == 0.5
    assert score_of("precision_at_k", item).value == 0.2
    assert score_of("recall_at_k", item, k=2).value == pytest.approx(1 / 3)
    assert score_of("hit_rate_at_k", item, k=1).value == 0.0
    assert score_of("hit_rate_at_k", item, k=2).value == 1.0
    assert score_of("mean_reciprocal_rank", item).value == 0.5
    assert score_of("mean_reciprocal_rank", item, k=1).value == 0.0
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert score_of("ndcg_at_k", item).value == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)


def test_graded_relevance() -> None:
    """nDCG gains by `relevance`, linearly; 0 means not relevant."""
    expected = [{"id": "a", "relevance": 3}, {"id": "b", "relevance": 1}, {"id": "c", "relevance": 0}]
    item = {"actual_ranking": ["b", "a"], "expected_reference": expected}
    best = 3 + 1 / math.log2(3)
    assert score_of("ndcg_at_k", item).value == pytest.approx((1 + 3 / math.log2(3)) / best)
    assert score_of("recall_at_k", item).value == 1.0
    assert not applies("ndcg_at_k", {"actual_ranking": ["c"], "expected_ranking": expected[2:]})


def test_duplicates_count_once() -> None:
    """Retrieving the same passage twice is no better than once, and takes no place."""
    item = {"actual_ranking": ["a", "a", "b"], "expected_ranking": ["b", "b"]}
    assert score_of("mean_reciprocal_rank", item).value == 0.5
    assert score_of("recall_at_k", item, k=2).value == 1.0
    assert score_of("precision_at_k", {"actual_ranking": ["b", "b"], "expected_ranking": ["b"]}, k=2).value == 0.5


def test_nothing_retrieved_is_0_and_nothing_known_is_nothing() -> None:
    """An empty ranking is a bad answer; a missing one is no answer."""
    for name in NAMES:
        assert score_of(name, {"actual_ranking": [], "expected_ranking": ["a"]}).value == 0.0
        assert not applies(name, {"expected_ranking": ["a"]})
        assert not applies(name, {"actual_ranking": ["a"]})
        assert not applies(name, {"actual_ranking": ["a"], "expected_ranking": []})


@pytest.mark.parametrize("name", NAMES)
def test_k_below_1_fails_loudly(name: str) -> None:
    """`k: 0` is a mistake, not a score of 0."""
    item = {"actual_ranking": ["a"], "expected_ranking": ["a"]}
    assert "expected a number >= 1, found 0" in result_of(name, item, k=0).failures[0].message
