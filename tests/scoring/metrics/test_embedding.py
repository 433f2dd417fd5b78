import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.adapters.offline_embeddings import OfflineEmbedder
from shared.scoring.metrics.embedding import cosine
from tests.core.items import repeatably
from tests.scoring.scored import applies, result_of, score_of


class Table:
    """An embedder that knows a few texts; it fills the port."""

    name = "table"

    def __init__(self, **known: tuple[float, ...]) -> None:
        self._known = known

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [self._known[text] for text in texts]


TABLE = Table(east=(1.0, 0.0), west=(-2.0, 0.0), north=(0.0, 3.0), far=(1.0, 0.0, 0.0))


@pytest.mark.parametrize(("pred", "value"), [("east", 1.0), ("north", 0.5), ("west", 0.0)])
def test_the_cosine_is_mapped_to_0_to_1(pred: str, value: float) -> None:
    """The same direction is 1, none in common 0.5, the opposite 0; lengths count for nothing."""
    score = score_of("embedding_similarity", {"actual_output": pred, "gold": "east"}, embedding=TABLE)
    assert score.value == pytest.approx(value)
    assert score.model == "table"


def test_nothing_to_compare() -> None:
    """Without an expected output it does not apply; a blank answer is not near anything."""
    assert not applies("embedding_similarity", {"actual_output": "east"}, embedding=TABLE)
    assert not applies("embedding_similarity", {"actual_output": "east", "gold": " "}, embedding=TABLE)
    assert score_of("embedding_similarity", {"actual_output": "", "gold": "east"}, embedding=TABLE).value == 0.0


def test_a_broken_embedder_is_a_failure() -> None:
    """Vectors of two lengths, or none: recorded, not scored."""
    for pred in ("far", "unknown"):
        result = result_of("embedding_similarity", {"actual_output": pred, "gold": "east"}, embedding=TABLE)
        assert len(result.failures) == 1


VECTOR = st.lists(st.floats(-1e150, 1e150), min_size=3, max_size=3)


@repeatably
@given(VECTOR, VECTOR)
def test_a_cosine_is_symmetric_and_bounded(one: list[float], other: list[float]) -> None:
    """Whatever the vectors; of zeros it is 0."""
    value = cosine(one, other)
    assert -1.0 <= value <= 1.0
    assert value == pytest.approx(cosine(other, one))


def test_the_offline_model_tells_a_paraphrase_from_another_subject() -> None:
    """At the default threshold. A wrong number is near as well: this metric is about meaning, not truth."""
    model = OfflineEmbedder()
    item = {"gold": "Returns are accepted for 30 days."}
    right = {"actual_output": "You can return it within thirty days."}
    assert score_of("embedding_similarity", item | right, embedding=model).passed
    other = {"actual_output": "Our stores are in Boston and Denver."}
    assert not score_of("embedding_similarity", item | other, embedding=model).passed
    wrong = {"actual_output": "Returns are accepted for 14 days."}
    assert score_of("embedding_similarity", item | wrong, embedding=model).passed
    huge = {"actual_output": "Returns are accepted. " * 45_000}
    assert math.isfinite(score_of("embedding_similarity", item | huge, embedding=model).value)
