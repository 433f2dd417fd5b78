from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.records import DatasetItem
from shared.core.results import Part, Score
from shared.scoring.metric import MetricOptions, bind, metric
from shared.scoring.verdict_rows import ItemVerdicts, record_answer
from tests.core.items import repeatably
from tests.scoring import sample_metrics as sample
from tests.scoring.scored import run


def judged(answer: Any, options: MetricOptions | None = None) -> ItemVerdicts:
    """What is recorded of a metric's answer, by a metric of any range."""
    verdicts = ItemVerdicts(DatasetItem(id="i"))
    record_answer(bind(sample.answers, "L", {}, options), answer, verdicts)
    return verdicts


WRONG = {
    "nan": "NotFinite",
    "inf": "NotFinite",
    "string": "NotANumber",
    "bytes": "NotANumber",
    "list": "NotANumber",
    "complex": "NotANumber",
    "huge": "OverflowError",
    "score of a string": "NotANumber",
    "score of nan": "NotFinite",
    "part of nan": "NotFinite",
}


@pytest.mark.parametrize(("answer", "kind"), WRONG.items())
def test_what_is_no_score_is_a_failure(answer: str, kind: str) -> None:
    """NaN, infinity and what is no number are counted as failures, never kept as scores."""
    result = run([DatasetItem(id="i", metadata={"answer": answer})], [bind(sample.answers, "L")])[0]
    assert result.scores == ()
    assert [(each.kind, each.item_id, each.metric.label) for each in result.failures] == [(kind, "i", "L")]
    assert result.failures[0].message


def test_numbers_of_every_kind_are_floats() -> None:
    """True, 2 and a float are scores; None says that the metric does not apply."""
    for answer, value in (("true", 1.0), ("int", 2.0)):
        score = run([DatasetItem(metadata={"answer": answer})], [bind(sample.answers, "L")])[0].scores[0]
        assert (score.value, type(score.value)) == (value, float)
    result = run([DatasetItem(metadata={"answer": "none"})], [bind(sample.answers, "L")])[0]
    assert (result.scores, result.failures, result.not_applicable) == ((), (), ("L",))


def test_out_of_its_range_is_a_failure() -> None:
    """A value that the metric says it cannot have is a defect of the metric."""
    failure = run([DatasetItem()], [bind(sample.out_of_range, "L")])[0].failures[0]
    assert (failure.kind, failure.message) == ("OutOfRange", "the metric answered 1.5, outside of its range [0.0, 1.0]")


@repeatably
@given(
    st.floats(allow_nan=True) | st.integers() | st.booleans(),
    st.none() | st.floats(-5, 5),
    st.none() | st.floats(-5, 5),
)
def test_a_score_is_in_range_and_judged_by_its_threshold(value: Any, low: float | None, high: float | None) -> None:
    """Whatever a metric answers, what is kept is a finite number within its bounds, and `passed` agrees with it."""

    @metric(low=low, high=high)
    def any_value(item: DatasetItem) -> float:
        return 0.0

    verdicts = ItemVerdicts(DatasetItem(id="i"))
    bound = bind(any_value, "L", {}, MetricOptions(threshold=0.5))
    try:
        record_answer(bound, value, verdicts)
    except OverflowError:  # an integer larger than any float: the runner records it
        return
    assert len(verdicts.scores) + len(verdicts.failures) == 1
    for score in verdicts.scores:
        assert (low is None or score.value >= low) and (high is None or score.value <= high)
        assert score.value == float(value)
        assert score.passed == (score.value >= 0.5)


def test_a_full_score_is_kept_whole() -> None:
    """Explanation, signals, cost and model of a score are in its row."""
    row = judged(Score(1.0, "why", {"a": 1}, (), 0.25, "gpt")).scores[0]
    assert (row.explanation, row.signals, row.cost, row.model, row.kind) == ("why", {"a": 1}, 0.25, "gpt", "metric")
    assert (row.threshold, row.passed, row.parent, row.weight) == (None, None, None, None)


def test_sub_metrics_pass_by_their_own_thresholds() -> None:
    """0.6 against a parent's threshold of 0.4 once passed; now the default of the part, its own, or none decides."""
    options = MetricOptions(threshold=0.4)
    rows = run([DatasetItem()], [bind(sample.in_parts, "P", {}, options)])[0].scores
    assert [(each.label, each.kind, each.parent, each.threshold, each.passed) for each in rows] == [
        ("P", "aggregate", None, 0.4, True),
        ("P_short", "sub_metric", "P", 0.9, False),
        ("P_own", "sub_metric", "P", 0.5, True),
        ("P_free", "sub_metric", "P", None, None),
    ]
    assert (rows[0].cost, rows[0].model, rows[1].cost) == (0.01, "m", None)
    assert rows[2].explanation == "because"
    assert rows[1].metric.name == "in_parts.short"
    assert {each.metric.digest for each in rows} == {rows[0].metric.digest}


def test_configured_thresholds_of_sub_metrics_win() -> None:
    """Also 0.0, and for inverse metrics strictly below."""
    options = MetricOptions(inverse=True, sub_thresholds={"short": 0.0, "own": 0.6, "free": 0.7})
    rows = run([DatasetItem()], [bind(sample.in_parts, "P", {}, options)])[0].scores[1:]
    assert [(each.threshold, each.passed) for each in rows] == [(0.0, False), (0.6, False), (0.7, True)]


def test_a_broken_part_leaves_nothing_half_recorded() -> None:
    """A parent without one of its parts would look whole."""
    verdicts = judged(Score(1.0, parts=(Part("a", 1.0), Part("b", float("inf")))))
    assert verdicts.scores == []
    assert verdicts.failures[0].message == "its sub-metric 'b' answered inf"
