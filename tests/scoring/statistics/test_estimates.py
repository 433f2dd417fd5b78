"""Estimates: the formulas against numbers worked out by hand, what they promise, and how often intervals hold."""

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.results import THINNED, Candidate, Decision, Estimate, Kind, MetricRef, MetricScore, Population
from shared.monitoring.sampling.strategies import RandomSample, SamplingParams, Stratified, Uncertainty
from shared.scoring.statistics.estimates import EstimateBuilder, MetricContext, MetricRows, estimate_metric
from shared.scoring.statistics.hajek import hajek, wilson

repeatably = settings(deadline=None, derandomize=True, max_examples=100)


def test_the_weighted_mean_by_hand() -> None:
    """w = 2, 4, 1: the mean is 3/7, the squares 64, 144, 16 over 49, Kish's n 49/21."""
    found = hajek([1, 0, 1], [0.5, 0.25, 1.0])
    assert found.mean == pytest.approx(3 / 7)
    assert found.effective_n == pytest.approx(49 / 21)
    assert found.se_process == pytest.approx(math.sqrt(1.5 * 224) / 49)
    assert found.se_traffic == pytest.approx(math.sqrt(1.5 * 140) / 49)
    assert (found.n, found.degrees, found.fraction) == pytest.approx((3, 49 / 21 - 1, 3 / 7))


def test_a_simple_random_sample_has_the_textbook_errors() -> None:
    """s / sqrt(n) for the process; times sqrt(1 - n/N) for the traffic, exactly."""
    found = hajek([1.0, 2.0, 3.0, 6.0], [0.2] * 4)
    deviation = math.sqrt((4 + 1 + 0 + 9) / 3)
    assert found.se_process == pytest.approx(deviation / 2)
    assert found.se_traffic == pytest.approx(deviation / 2 * math.sqrt(0.8))


def test_strata_by_hand() -> None:
    """Strata of 4 and 12 items, means 2 and 12, variances 2 and 4: the textbook's errors within strata.

    Traffic: (16 x .5 x 2/2 + 144 x .75 x 4/3) / 256. Process: (16 x 2/2 + 144 x 4/3) / 256 within, and the means'
    (4 x 7.5^2 + 12 x 2.5^2) / 256 between.
    """
    found = hajek([1, 3, 10, 14, 12], [0.5, 0.5, 0.25, 0.25, 0.25], [0, 0, 1, 1, 1])
    assert found.mean == pytest.approx(9.5)
    assert found.degrees == pytest.approx(16 * 16 / 56 - 2)
    assert found.se_traffic == pytest.approx(math.sqrt((8 + 144) / 256))
    assert found.se_process == pytest.approx(math.sqrt((16 + 192 + 300) / 256))


def test_a_stratum_of_one_keeps_its_distance_from_the_whole() -> None:
    """One item says nothing of its stratum's spread: its deviation from the overall mean stands in, never zero."""
    found = hajek([1, 3, 10], [0.5, 0.5, 0.5], [0, 0, 7])
    mean = 14 / 3
    within, alone = 2 * (4 + 4), 1.5 * (2 * (10 - mean)) ** 2
    assert found.se_traffic == pytest.approx(math.sqrt(0.5 * (within + alone)) / 6)
    assert found.se_process == pytest.approx(math.sqrt(within + alone + 4 * (2 - mean) ** 2) / 6)


def test_a_census_has_no_error_against_its_traffic() -> None:
    """Everything was judged: what was there is known, the process behind it is not, with strata or without."""
    for groups in (None, [0, 0, 1, 1]):
        found = hajek([0, 0, 1, 1], [1.0] * 4, groups)
        assert found.se_traffic == 0
        assert found.se_process is not None and found.se_process > 0.2
    exact = estimate_metric("m", MetricRows([0, 0.5, 1, 1], [1.0] * 4, [1, 1, 1, 1]), population="traffic")
    assert (exact.mean_low, exact.mean_high) == (exact.mean, exact.mean)
    assert (exact.pass_low, exact.pass_high) == (1.0, 1.0)


def test_one_value_has_no_error() -> None:
    """From one value nothing is known of the spread."""
    found = hajek([0.7], [0.1])
    assert (found.mean, found.se_traffic, found.se_process) == (0.7, None, None)


@pytest.mark.parametrize(
    ("values", "probabilities"),
    [
        ([], []),
        ([1.0], [0.5, 0.5]),
        ([math.nan], [0.5]),
        ([math.inf], [0.5]),
        ([1.0], [0.0]),
        ([1.0], [1.5]),
        ([1.0], [math.nan]),
    ],
)
def test_what_would_poison_an_estimate_is_refused(values: list[float], probabilities: list[float]) -> None:
    """A NaN in one row would silently become the mean of all."""
    with pytest.raises(ValueError, match="expected"):
        hajek(values, probabilities)


def test_groups_must_match() -> None:
    """Strata shifted against their values would give a wrong error without a word."""
    with pytest.raises(ValueError, match="3 values need as many groups, found 2"):
        hajek([1, 2, 3], [0.5] * 3, [0, 1])


def test_wilson_by_hand() -> None:
    """5 of 10 and 5 of 5, from the table: never 100 % [100, 100]."""
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(1.0, 5) == pytest.approx((0.5655, 1.0), abs=1e-4)


def test_the_mean_has_a_t_interval() -> None:
    """1, 2, 3: s/sqrt(3) times the quantile 4.3027 of two degrees of freedom."""
    found = estimate_metric("m", MetricRows([1, 2, 3], [0.01] * 3))
    half = 4.302653 / math.sqrt(3)
    assert (found.mean_low, found.mean, found.mean_high) == pytest.approx((2 - half, 2, 2 + half))


def test_bounds_stay_in_the_range() -> None:
    """A share of 1.2 in a report is nonsense; an unbounded metric is not cut."""
    values = [0.1, 0.9, 1.0, 0.8]
    cut, free = (
        estimate_metric("m", MetricRows(values, [0.1] * 4), MetricContext(low=0, high=1)),
        estimate_metric("m", MetricRows(values, [0.1] * 4)),
    )
    assert cut.mean_high == 1.0 < (free.mean_high or 0)
    assert cut.mean_low == free.mean_low


def test_a_mean_of_zeros_and_ones_is_a_proportion() -> None:
    """Five perfect scores of an all-or-nothing metric do not show a mean of 1 [1, 1]."""
    found = estimate_metric("m", MetricRows([1, 1, 1, 1, 1], [0.1] * 5), MetricContext(low=0, high=1))
    assert (found.mean_low, found.mean_high) == pytest.approx((0.5655, 1.0), abs=1e-4)
    scaled = estimate_metric("m", MetricRows([5, 5, 5, 5, 5], [0.1] * 5), MetricContext(low=1, high=5))
    assert scaled.mean_low == pytest.approx(1 + 4 * 0.5655, abs=1e-3)


def test_the_pass_rate_of_all_passed_is_not_certain() -> None:
    """Where all passed the effective n is Kish's: weights 1 and 4 count like 25/17 items, not two."""
    found = estimate_metric("m", MetricRows([0.9, 0.8], [1.0, 0.25], [1, 1]), MetricContext(threshold=0.5))
    assert (found.pass_rate, found.pass_low) == pytest.approx((1.0, wilson(1.0, 25 / 17)[0]))


def test_traffic_that_was_half_seen_is_known_better() -> None:
    """All of 5 drawn from 10 passed: against those 10 they count double, against the process as they are."""
    rows = MetricRows([0.9] * 5, [0.5] * 5, [1] * 5)
    assert estimate_metric("m", rows, population="traffic").pass_low == pytest.approx(wilson(1.0, 10)[0])
    assert estimate_metric("m", rows, population="process").pass_low == pytest.approx(wilson(1.0, 5)[0])


def test_the_pass_rate_has_the_effective_size_of_its_error() -> None:
    """p = 3/7 with the error of the first test: n_eff = p (1 - p) / se^2, and Wilson's interval for it."""
    found = estimate_metric("m", MetricRows([0.9, 0.1, 0.8], [0.5, 0.25, 1.0], [1, 0, 1]))
    expected = wilson(3 / 7, (12 / 49) / (1.5 * 224 / 2401))
    assert (found.pass_low, found.pass_high) == pytest.approx(expected)


def test_a_lucky_error_does_not_make_the_sample_larger_than_it_is() -> None:
    """Few failures, all of small weight, have a tiny error by chance: n_eff is cut at n."""
    probabilities = [1.0] * 10 + [0.05] * 30
    found = estimate_metric("m", MetricRows([0.5] * 40, probabilities, [0] * 2 + [1] * 38))
    assert found.pass_low == pytest.approx(wilson(found.pass_rate or 0, 40)[0])


def test_one_score_has_a_pass_rate_but_no_bounds_of_the_mean() -> None:
    """One verdict says little, and Wilson says how little; one value says nothing of a mean's error."""
    found = estimate_metric("m", MetricRows([0.9], [0.3], [1]))
    assert (found.mean, found.mean_low, found.mean_high) == (0.9, None, None)
    assert (found.pass_rate, found.pass_low, found.pass_high) == pytest.approx((1.0, 0.2065, 1.0), abs=1e-4)


def test_only_judged_rows_make_the_pass_rate() -> None:
    """A score without a threshold neither passed nor failed."""
    found = estimate_metric("m", MetricRows([0.9, 0.1, 0.5], [0.1] * 3, [1, 0, -1], [0, 0, 1]))
    assert (found.n, found.pass_rate) == (3, 0.5)
    without = estimate_metric("m", MetricRows([0.9, 0.1], [0.1] * 2, [-1, -1]))
    assert (without.pass_rate, without.pass_low, without.pass_high) == (None, None, None)


def test_a_queue_is_counted_and_not_averaged() -> None:
    """What was not drawn by chance has no mean to show."""
    facts = MetricContext(threshold=0.5, kind="aggregate", failed=2, not_applicable=1)
    expected = Estimate("m", 3, threshold=0.5, kind="aggregate", failed=2, not_applicable=1, inspection=True)
    assert estimate_metric("m", MetricRows([1, 2, 3], None, [1, 1, 1]), facts) == expected


def test_no_rows_give_an_estimate_without_numbers() -> None:
    """A metric that failed everywhere is still listed."""
    assert estimate_metric("m", MetricRows([], []), MetricContext(failed=4)) == Estimate("m", 0, failed=4)


rows = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0.01, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40
)
populations: st.SearchStrategy[Population] = st.sampled_from(["process", "traffic"])


@repeatably
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.floats(0.001, 1))
def test_equal_probabilities_give_the_plain_mean(values: list[float], chance: float) -> None:
    """A uniform sample is averaged as anyone would."""
    found = hajek(values, [chance] * len(values))
    assert found.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    assert found.effective_n == pytest.approx(len(values))


@repeatably
@given(rows, st.floats(0.01, 1))
def test_a_common_factor_of_the_probabilities_changes_nothing(
    drawn: list[tuple[float, float, int, int]], factor: float
) -> None:
    """Only the ratios of probabilities matter to the mean, and to its error against the process without strata."""
    values, chances = [each[0] for each in drawn], [each[1] for each in drawn]
    first, second = hajek(values, chances), hajek(values, [factor * each for each in chances])
    assert second.mean == pytest.approx(first.mean)
    assert second.se_process == (None if first.se_process is None else pytest.approx(first.se_process, abs=1e-12))


@repeatably
@given(rows, st.booleans(), populations)
def test_intervals_hold_their_estimate_and_stay_in_range(
    drawn: list[tuple[float, float, int, int]], strata: bool, population: Population
) -> None:
    """low <= estimate <= high, all within [0, 1], whatever was drawn."""
    values, chances, passed, groups = map(list, zip(*drawn, strict=True))
    found = estimate_metric(
        "m", MetricRows(values, chances, passed, groups if strata else None), MetricContext(0.0, 1.0), population
    )
    assert 0 <= (found.pass_low or 0) <= (found.pass_rate or 0) <= (found.pass_high or 0) <= 1
    if len(drawn) > 1:
        assert 0 <= (found.mean_low or 0) <= (found.mean or 0) <= (found.mean_high or 0) <= 1


@repeatably
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(drawn: list[tuple[float, float, int, int]], rng: Random) -> None:
    """Scores come back from workers in any order."""
    shuffled = rng.sample(drawn, len(drawn))
    found = [
        hajek(*map(list, zip(*((y, pi, group) for y, pi, _, group in each), strict=True))) for each in (drawn, shuffled)
    ]
    assert found[0].mean == pytest.approx(found[1].mean)
    for first, second in ((found[0].se_process, found[1].se_process), (found[0].se_traffic, found[1].se_traffic)):
        assert first == (None if second is None else pytest.approx(second, abs=1e-9))


@repeatably
@given(rows)
def test_the_traffic_is_never_less_certain_than_the_process(drawn: list[tuple[float, float, int, int]]) -> None:
    """What is behind the traffic cannot be known better than the traffic itself."""
    values, chances, _, groups = map(list, zip(*drawn, strict=True))
    for codes in (None, groups):
        found = hajek(values, chances, codes)
        assert (found.se_traffic or 0) <= (found.se_process or 0)


def score_of(value: float, label: str = "m", threshold: float | None = None, kind: Kind = "metric") -> MetricScore:
    passed = None if threshold is None else value >= threshold
    return MetricScore(MetricRef(label, "exact_match", "1", "d"), value, passed, threshold, kind=kind)


def drawn_with(probability: float | None, stratum: str = "") -> Decision:
    return Decision("id", True, probability, "random", stratum)


def test_the_builder_gives_what_the_rows_give() -> None:
    """Streamed rows and rows at once are the same estimate, strata and range and threshold included."""
    builder = EstimateBuilder({"m": (0.0, 1.0)}, population="traffic")
    parts = [(0.25, 0.1, "a"), (0.5, 0.1, "a"), (1.0, 0.5, "b"), (0.75, 0.5, "b")]
    for value, chance, stratum in parts:
        builder.add(score_of(value, threshold=0.5), drawn_with(chance, stratum))
    builder.add_failure("m")
    builder.add_not_applicable("m")
    sequence = MetricRows([each[0] for each in parts], [each[1] for each in parts], [0, 1, 1, 1], [0, 0, 1, 1])
    facts = MetricContext(0.0, 1.0, 0.5, failed=1, not_applicable=1)
    assert builder.build() == (estimate_metric("m", sequence, facts, "traffic"),)


def test_the_builder_keeps_labels_apart_and_in_order() -> None:
    """The report lists metrics as they came, also one that only ever failed."""
    builder = EstimateBuilder()
    builder.add(score_of(1.0, "second", kind="aggregate"), drawn_with(0.5))
    builder.add_failure("first")
    builder.add(score_of(0.0, "third", kind="sub_metric"), drawn_with(0.5))
    found = [(each.label, each.n, each.kind, each.failed) for each in builder.build()]
    assert found == [("second", 1, "aggregate", 0), ("first", 0, "metric", 1), ("third", 1, "sub_metric", 0)]


def test_the_builder_averages_no_queue() -> None:
    """Rows without a probability, or a store that cannot carry them, give counts only."""
    queue, forbidden = EstimateBuilder(), EstimateBuilder(aggregates_allowed=False)
    for value in (0.1, 0.9):
        queue.add(score_of(value, threshold=0.5), drawn_with(None))
        forbidden.add(score_of(value, threshold=0.5), drawn_with(1.0))
    forbidden.add_failure("failed only")
    expected = Estimate("m", 2, threshold=0.5, inspection=True)
    assert queue.build() == (expected,)
    assert forbidden.build() == (expected, Estimate("failed only", 0, failed=1, inspection=True))


def test_a_queue_among_samples_is_left_out_of_the_aggregate() -> None:
    """After the strategy was changed, items of the old queue still come in: they must not tilt the mean."""
    builder = EstimateBuilder()
    builder.add(score_of(0.0), drawn_with(None))
    builder.add(score_of(1.0), drawn_with(0.5))
    builder.add(score_of(0.5), drawn_with(0.5))
    (found,) = builder.build()
    assert (found.n, found.mean, found.inspection) == (2, 0.75, False)


def test_different_thresholds_are_not_shown_as_one() -> None:
    """Rows of before and after a change of the threshold were each judged by their own."""
    builder = EstimateBuilder()
    for threshold in (0.0, 0.8):
        builder.add(score_of(0.5, threshold=threshold), drawn_with(0.5))
    (found,) = builder.build()
    assert (found.threshold, found.pass_rate) == (None, 0.5)


def test_the_builder_refuses_nan() -> None:
    """One NaN must not become everyone's mean; the label says whose it was."""
    with pytest.raises(ValueError, match="metric 'm': expected a finite value"):
        EstimateBuilder().add(score_of(math.nan), drawn_with(0.5))


def covers(rule: SamplingParams, repeats: int) -> dict[Population, float]:
    """How often the interval of the wrong-rate holds the truth, over new traffic of 600 requests each time."""
    hits: dict[Population, int] = {"process": 0, "traffic": 0}
    for repeat in range(repeats):
        rng = Random(repeat)
        pool, wrong = _traffic(rng)
        decisions = rule.draw(pool, rng).decisions
        places = [place for place, each in enumerate(decisions) if each.drawn]
        builders: Sequence[tuple[Population, float]] = (("process", 0.27), ("traffic", sum(wrong) / len(wrong)))
        for population, truth in builders:
            builder = EstimateBuilder({"m": (0.0, 1.0)}, population=population)
            for place in places:
                builder.add(score_of(wrong[place]), decisions[place])
            (found,) = builder.build()
            hits[population] += (found.mean_low or 0) <= truth <= (found.mean_high or 0)
    return {population: count / repeats for population, count in hits.items()}


def _traffic(rng: Random) -> tuple[list[Candidate], list[float]]:
    """Requests of two channels; risk .025 or .25 plus .4 times a uniform uncertainty: .27 wrong on average."""
    pool, wrong = [], []
    for place in range(600):
        rare, unsure = rng.random() < 0.2, rng.random()
        pool.append(Candidate(f"id-{place}", stratum="rare" if rare else "common", weight=unsure))
        wrong.append(float(rng.random() < (0.25 if rare else 0.025) + 0.4 * unsure))
    return pool, wrong


@pytest.mark.parametrize(
    "rule",
    [
        RandomSample(n=120),
        Stratified(field="metadata.channel", n=120),
        Uncertainty(n=120),
    ],
    ids=lambda rule: rule.name,
)
def test_intervals_cover_as_often_as_they_say(rule: SamplingParams) -> None:
    """The promise of a 95 % interval, kept in simulation for both questions (400 repeats: +-.02 by chance)."""
    found = covers(rule, 400)
    assert all(0.92 <= each <= 0.98 for each in found.values()), found


def test_a_thinned_stratified_draw_is_estimated_without_its_strata() -> None:
    """How many of a stratum are kept is chance, so what differs between strata adds to the error again."""

    def built(strategy: str) -> Estimate:
        builder = EstimateBuilder({"m": (0.0, 10.0)})
        for number in range(40):
            stratum = "high" if number % 2 else "low"
            decision = Decision(str(number), True, 0.2, strategy if number == 7 else "stratified", stratum)
            value = 8.0 + number % 3 if number % 2 else 1.0 + number % 3
            builder.add(MetricScore(MetricRef("m", "m", "1", "d"), value, None, None), decision)
        return builder.build()[0]

    whole, thinned = built("stratified"), built("stratified" + THINNED)
    assert thinned.mean == whole.mean
    assert None not in (whole.mean_low, whole.mean_high, thinned.mean_low, thinned.mean_high)
    assert (thinned.mean_high or 0) - (thinned.mean_low or 0) > 1.5 * ((whole.mean_high or 0) - (whole.mean_low or 0))
