"""Corrected pass rates: unbiased where they say so, and silent where no correction is possible."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from shared.scoring.statistics.agreement import measure_agreement
from shared.scoring.statistics.corrected_rates import (
    JudgedSample,
    LabelMoments,
    label_moments,
    labels_needed,
    ppi_rate,
    rogan_gladen,
    selection_shift,
    stratified_rate,
    uncorrected_rate,
)
from shared.scoring.statistics.hajek import hajek

repeatably = settings(deadline=None, derandomize=True, max_examples=100)

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.floats(0.05, 1.0)), min_size=3, max_size=40)
REST = st.lists(st.tuples(st.integers(0, 1), st.floats(0.05, 1.0)), min_size=2, max_size=80)


def parts(rows: list[tuple[int, int, float]], rest: list[tuple[int, float]]) -> tuple[JudgedSample, JudgedSample]:
    labelled = JudgedSample([j for j, _, _ in rows], [p for *_, p in rows], [y for _, y, _ in rows])
    return labelled, JudgedSample([j for j, _ in rest], [p for _, p in rest])


def sample(n: int, seed: int, passes_good: float = 0.97, passes_bad: float = 0.5) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.8
    judge = rng.random(n) < np.where(truth, passes_good, passes_bad)
    return judge.astype(int).tolist(), truth.astype(int).tolist()


@repeatably
@given(ROWS, REST)
def test_without_tuning_the_labels_stand_alone(
    rows: list[tuple[int, int, float]], rest: list[tuple[int, float]]
) -> None:
    """lambda = 0 is Hajek's mean of the labels with its error, whatever the judge says."""
    labelled, others = parts(rows, rest)
    found, plain = ppi_rate(labelled, others, tuning=0.0), hajek(labelled.people, [p for *_, p in rows])
    assert found.rate == pytest.approx(plain.mean)
    assert found.se == pytest.approx(plain.se_process)


@repeatably
@given(ROWS, REST)
def test_tuning_never_makes_the_error_larger(rows: list[tuple[int, int, float]], rest: list[tuple[int, float]]) -> None:
    """The tuned error is at most that of the labels alone, and of the untuned estimator (lambda = 1)."""
    labelled, others = parts(rows, rest)
    tuned = ppi_rate(labelled, others).se
    for weight in (0.0, 1.0, -0.5):
        other = ppi_rate(labelled, others, tuning=weight).se
        assert tuned is not None and other is not None and tuned <= other + 1e-9


@repeatably
@given(ROWS, REST)
def test_every_rate_lies_in_its_interval(rows: list[tuple[int, int, float]], rest: list[tuple[int, float]]) -> None:
    """0 <= low <= rate <= high <= 1 for all methods."""
    labelled, others = parts(rows, rest)
    agreement = measure_agreement(labelled.judge, labelled.people, labelled.probabilities)
    assert agreement is not None
    found = [
        ppi_rate(labelled, others),
        stratified_rate(labelled, others),
        rogan_gladen(others.judge, agreement, others.probabilities),
    ]
    for each in found:
        assert each is None or 0 <= each.low <= each.rate <= each.high <= 1


def test_equal_weights_give_the_papers_estimator() -> None:
    """lambda = cov / ((1 + n/N) var), theta and se as in PPI++ for simple random samples."""
    judge, truth = sample(650, 3)
    y, j, u = (np.array(each, dtype=float) for each in (truth[:150], judge[:150], judge[150:]))
    found = ppi_rate(JudgedSample(j, None, y), JudgedSample(u))
    vj, vu, n, m = j.var(ddof=1), u.var(ddof=1), 150, 500
    weight = np.cov(y, j)[0, 1] / n / (vj / n + vu / m)
    assert found.weight == pytest.approx(weight)
    assert found.rate == pytest.approx(weight * u.mean() + (y - weight * j).mean())
    assert found.se == pytest.approx(math.sqrt((y - weight * j).var(ddof=1) / n + weight**2 * vu / m))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_correction_takes_the_judges_bias_away(weighted: bool) -> None:
    """Over 300 samples the judge alone is 7 points off, PPI++ less than one, also with unequal probabilities."""
    rng = np.random.default_rng(5)
    alone, corrected = [], []
    for _ in range(300):
        risk = rng.beta(1, 4, 4000)
        pi = np.where(risk > 0.2, 0.3, 0.1) if weighted else np.full(4000, 0.2)
        taken = rng.random(4000) < pi
        truth = (rng.random(4000) >= risk)[taken].astype(float)
        judge = (rng.random(len(truth)) < np.where(truth == 1, 0.97, 0.5)).astype(float)
        known = np.arange(len(truth)) < 150
        alone.append(hajek(judge, pi[taken]).mean)
        labelled = JudgedSample(judge[known], pi[taken][known], truth[known])
        corrected.append(ppi_rate(labelled, JudgedSample(judge[~known], pi[taken][~known])).rate)
    assert np.mean(alone) - 0.8 > 0.06
    assert abs(np.mean(corrected) - 0.8) < 0.01


def test_a_constant_judge_adds_nothing() -> None:
    """Its weight is 0, and the rate is that of the labels."""
    found = ppi_rate(JudgedSample([1] * 10, None, [1] * 7 + [0] * 3), JudgedSample([1] * 100))
    assert found.weight == 0.0 and found.rate == pytest.approx(0.7)


def test_without_unlabelled_items_the_labels_stand_alone() -> None:
    """Everything labelled: no correction is needed."""
    found = ppi_rate(JudgedSample([1, 0, 1], None, [1, 0, 0]), JudgedSample([]))
    assert found.weight == 0.0 and found.rate == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_labels_without_disagreement_are_no_certainty(count: int) -> None:
    """Three labels that all agree with the judge leave an interval of most of the scale."""
    found = ppi_rate(JudgedSample([1, 0, 1][:count], None, [1, 0, 1][:count]), JudgedSample([1, 0] * 100))
    assert found.high - found.low > 0.5


def test_ppi_needs_a_label() -> None:
    """No labels is a mistake of the caller, not a rate."""
    with pytest.raises(ValueError, match="one or more labels"):
        ppi_rate(JudgedSample([]), JudgedSample([1, 0]))


def published_interval(p: float, q0: float, q1: float, sizes: tuple[int, int, int]) -> tuple[float, float]:
    """The interval as Lee and others give it: test set and calibration set each with their pseudo-counts."""
    n, m0, m1 = sizes
    z = 1.959963984540054
    p, q0, q1 = (n * p + z**2 / 2) / (n + z**2), (m0 * q0 + 1) / (m0 + 2), (m1 * q1 + 1) / (m1 + 2)
    theta = (p + q0 - 1) / (q0 + q1 - 1)
    v0, v1 = q0 * (1 - q0) / (m0 + 2), q1 * (1 - q1) / (m1 + 2)
    shift = 2 * z**2 * (-(1 - theta) * v0 + theta * v1)
    error = math.sqrt(p * (1 - p) / (n + z**2) + (1 - theta) ** 2 * v0 + theta**2 * v1) / (q0 + q1 - 1)
    return theta + shift - z * error, theta + shift + z * error


def test_rogan_gladen_inverts_the_judges_errors() -> None:
    """Sensitivity .9, specificity .8, 62 % passed: (.62 + .8 - 1) / .7 = .6."""
    agreement = measure_agreement([1] * 90 + [0] * 10 + [0] * 80 + [1] * 20, [1] * 100 + [0] * 100)
    assert agreement is not None
    found = rogan_gladen([1] * 620 + [0] * 380, agreement)
    assert found is not None
    assert found.rate == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx(published_interval(0.62, 0.8, 0.9, (1000, 100, 100)))


def test_unequal_weights_widen_rogan_gladens_interval() -> None:
    """The same shares from labels of which a tenth carries half of the weight are worth fewer labels."""
    judge, people = ([1] * 9 + [0]) * 20 + ([0] * 4 + [1]) * 40, [1] * 200 + [0] * 200
    chances = ([0.05] * 10 + [0.45] * 90) * 4
    even, uneven = measure_agreement(judge, people), measure_agreement(judge, people, chances)
    assert even is not None and uneven is not None
    assert (even.people_pass_n, even.people_fail_n) == (200.0, 200.0)
    assert uneven.people_pass_n < 100 and uneven.people_fail_n < 100
    traffic = [1] * 620 + [0] * 380
    wide, narrow = rogan_gladen(traffic, uneven), rogan_gladen(traffic, even)
    assert wide is not None and narrow is not None and wide.rate == pytest.approx(narrow.rate)
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("judge", "people"),
    [
        ([1, 0, 1, 0], [1, 1, 1, 1]),  # nothing that people fail
        ([1, 0, 1, 0], [0, 0, 0, 0]),  # nothing that people pass
        ([1, 0, 1, 0], [1, 1, 0, 0]),  # sensitivity and specificity add up to 1
        ([0, 0, 1, 1], [1, 1, 0, 0]),  # worse than chance
        ([1, 1, 1, 1], [1, 1, 0, 0]),  # a judge that always passes
    ],
)
def test_where_no_correction_is_possible_there_is_none(judge: list[int], people: list[int]) -> None:
    """A judge no better than chance, or labels of one kind, cannot be inverted."""
    agreement = measure_agreement(judge, people)
    assert agreement is not None
    assert rogan_gladen([1, 0, 1], agreement) is None


def test_labels_of_another_mix_mislead_ppi_and_not_rogan_gladen() -> None:
    """Labels that are half good against traffic that is 80 % good: PPI++ is far off, and `selection_shift` sees it."""
    rng = np.random.default_rng(11)
    judge, _ = sample(4000, 1)
    truth = np.array([1] * 400 + [0] * 400, dtype=float)
    said = (rng.random(800) < np.where(truth == 1, 0.97, 0.5)).astype(float)
    agreement = measure_agreement(said, truth)
    assert agreement is not None
    corrected = rogan_gladen(judge, agreement)
    assert corrected is not None and corrected.low < 0.8 < corrected.high
    labelled, rest = JudgedSample(said, None, truth), JudgedSample(judge)
    assert ppi_rate(labelled, rest).high < 0.75
    away = selection_shift(labelled, rest)
    assert away is not None and away.high < 0


def test_labels_chosen_by_the_verdict_are_weighed_by_verdict() -> None:
    """Labels on all failures and a few passes: the labels alone are far off, post-stratified they are not."""
    judge, truth = sample(4000, 2)
    rng = np.random.default_rng(31)
    known = [rng.random() < (0.5 if j == 0 else 0.05) for j in judge]
    labelled = JudgedSample(
        [j for j, k in zip(judge, known, strict=True) if k], None, [y for y, k in zip(truth, known, strict=True) if k]
    )
    rest = JudgedSample([j for j, k in zip(judge, known, strict=True) if not k])
    found = stratified_rate(labelled, rest)
    assert found is not None and found.low < 0.8 < found.high
    assert uncorrected_rate(labelled.people).high < 0.7
    assert stratified_rate(JudgedSample([1, 1], None, [1, 1]), JudgedSample([0, 1])) is None


@repeatably
@given(st.floats(0.01, 0.25), st.floats(0.0, 0.95), st.integers(200, 100_000), st.floats(0.01, 0.2))
def test_the_plan_reaches_the_width_it_promises(variance: float, explained: float, judged: int, half: float) -> None:
    """The planned number of labels gives the half width, one label less does not."""

    def width(n: int) -> float:
        left = (n * variance * (1 - explained) + 1) / (n + 2)
        return float(stdtrit(n - 1, 0.975)) * math.sqrt(left / n + variance * explained / judged)

    need = labels_needed(LabelMoments(variance, explained), judged, half)
    if need is None:
        assert width(judged) > half * 0.999
        return
    assert width(need) <= half * 1.001
    assume(need > 2)
    assert width(need - 1) > half * 0.999


@pytest.mark.parametrize(("passes_good", "passes_bad"), [(0.97, 0.5), (0.97, 0.05)])
def test_as_many_labels_as_planned_give_the_width(passes_good: float, passes_bad: float) -> None:
    """Also of a good judge, where they are few: +-5 points are planned from 1,000 labels, and reached by PPI++."""
    judge, truth = (np.array(each) for each in sample(4000, 5, passes_good, passes_bad))
    found = label_moments(JudgedSample(judge[:1000], None, truth[:1000]))
    assert found is not None
    need = labels_needed(found, 4000, 0.05)
    assert need is not None
    widths = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(4000)
        mine, others = order[:need], order[need:]
        rate = ppi_rate(JudgedSample(judge[mine], None, truth[mine]), JudgedSample(judge[others]))
        widths.append((rate.high - rate.low) / 2)
    assert 0.045 < float(np.mean(widths)) < 0.053


def test_planning_counts_what_the_judge_explains() -> None:
    """A better judge needs fewer labels; from one label nothing is planned."""
    good, poor = (
        label_moments(JudgedSample(j, None, y)) for j, y in (sample(300, 4, 0.97, 0.05), sample(300, 4, 0.97, 0.5))
    )
    assert good is not None and poor is not None
    few, many = labels_needed(good, 3000, 0.05), labels_needed(poor, 3000, 0.05)
    assert few is not None and many is not None and few < many / 2
    assert label_moments(JudgedSample([1], None, [1])) is None
    with pytest.raises(ValueError, match="above 0"):
        labels_needed(good, 3000, 0.0)


def test_one_labelled_item_cannot_be_seen_to_differ() -> None:
    """Nothing is said of a choice of one."""
    assert selection_shift(JudgedSample([1]), JudgedSample([1, 0, 1])) is None
    assert selection_shift(JudgedSample([1, 0]), JudgedSample([])) is None
