"""What must hold of every draw: probabilities that are true, samples that nest, seeds that repeat."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.results import Candidate, Draw
from shared.monitoring.sampling.inclusion import allocate, poisson_probabilities
from shared.monitoring.sampling.strategies import (
    All,
    MostRecent,
    RandomSample,
    SamplingParams,
    Stratified,
    TemporalDecay,
    Uncertainty,
)

repeatably = settings(deadline=None, derandomize=True, max_examples=100)

START = datetime(2026, 1, 1, tzinfo=UTC)
SPREADS = {"a": 0.1, "b": 0.5, "d": 0.0}

candidates = st.builds(
    Candidate,
    id=st.uuids().map(str),
    timestamp=st.none() | st.integers(0, 10**7).map(lambda seconds: START + timedelta(seconds=seconds)),
    stratum=st.sampled_from("abcd"),
    weight=st.none() | st.floats(0, 1),
)
pools = st.lists(candidates, min_size=1, max_size=60, unique_by=lambda each: each.id)
sizes = st.integers(1, 70)
rates = st.floats(0.001, 1)
floors = st.floats(0, 1)
fixed_size = st.one_of(
    st.builds(RandomSample, n=sizes),
    st.builds(Stratified, field=st.just("metadata.x"), n=sizes),
    st.builds(Stratified, field=st.just("metadata.x"), n=sizes, allocation=st.just("neyman"), spreads=st.just(SPREADS)),
)
poisson = st.one_of(
    st.builds(TemporalDecay, n=sizes, half_life_hours=st.floats(0.01, 1e4), floor=floors),
    st.builds(Uncertainty, n=sizes, floor=floors),
)
by_rate = st.one_of(
    st.builds(RandomSample, rate=rates, cap=st.none() | sizes),
    st.builds(Stratified, field=st.just("metadata.x"), rate=rates),
    st.builds(TemporalDecay, rate=rates, half_life_hours=st.floats(0.01, 1e4), floor=floors),
    st.builds(Uncertainty, rate=rates, floor=floors),
)
unbiased: st.SearchStrategy[SamplingParams] = st.one_of(fixed_size, poisson, by_rate, st.builds(All, cap=sizes))


def chances(draw: Draw) -> list[float]:
    return [each.probability for each in draw.decisions if each.probability is not None]


@repeatably
@given(pools, unbiased, st.integers())
def test_every_item_has_a_decision_with_a_probability(pool: list[Candidate], rule: SamplingParams, seed: int) -> None:
    """One decision per candidate, in the order of the pool, with a probability in (0, 1]: weights are 1 over it."""
    draw = rule.draw(pool, Random(seed))
    assert [each.item_id for each in draw.decisions] == [each.id for each in pool]
    assert len(chances(draw)) == len(pool) and all(0 < each <= 1 for each in chances(draw))


@repeatably
@given(pools, st.one_of(unbiased, st.builds(MostRecent, n=sizes)), st.integers())
def test_the_same_seed_gives_the_same_draw(pool: list[Candidate], rule: SamplingParams, seed: int) -> None:
    """A draw can be repeated and audited."""
    assert rule.draw(pool, Random(seed)) == rule.draw(pool, Random(seed))


@repeatably
@given(pools, unbiased, st.integers(), st.randoms(use_true_random=False))
def test_the_order_of_the_pool_changes_no_draw(
    pool: list[Candidate], rule: SamplingParams, seed: int, order: Random
) -> None:
    """A database that answers in another order, or files that are listed in another, give the same sample."""
    shuffled = list(pool)
    order.shuffle(shuffled)
    one, other = (rule.draw(each, Random(seed)) for each in (pool, shuffled))
    assert {each.item_id: each for each in one.decisions} == {each.item_id: each for each in other.decisions}
    assert one.notes == other.notes


@repeatably
@given(pools, fixed_size, st.integers())
def test_a_fixed_size_is_met_exactly(pool: list[Candidate], rule: RandomSample, seed: int) -> None:
    """n items are drawn, all where there are fewer, and the probabilities sum to that."""
    draw = rule.draw(pool, Random(seed))
    expected = min(rule.n or 0, len(pool))
    assert sum(each.drawn for each in draw.decisions) == expected
    assert math.fsum(chances(draw)) == pytest.approx(expected)


@repeatably
@given(pools, poisson, st.integers())
def test_poisson_probabilities_sum_to_n(pool: list[Candidate], rule: Uncertainty, seed: int) -> None:
    """The expected size is what was asked for, whatever the cut at 1 takes away."""
    assert math.fsum(chances(rule.draw(pool, Random(seed)))) == pytest.approx(min(rule.n or 0, len(pool)))


@repeatably
@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=50), st.floats(0.001, 0.999), floors)
def test_a_larger_weight_never_has_a_smaller_probability(weights: list[float], share: float, floor: float) -> None:
    """The order of the weights survives floor, cut and redistribution; the floor's part is kept by everyone."""
    size = share * len(weights)
    found = poisson_probabilities(weights, size, floor)
    pairs = sorted(zip(weights, found, strict=True))
    assert all(first[1] <= second[1] + 1e-12 for first, second in pairwise(pairs))
    assert min(found) >= min(1.0, floor * share) * (1 - 1e-9)


@repeatably
@given(st.lists(candidates, min_size=1, max_size=200, unique_by=lambda each: each.id), rates, rates)
def test_rates_nest(pool: list[Candidate], first: float, second: float) -> None:
    """Whoever is drawn at a low rate is drawn at a higher one, so a dear metric sees part of a cheap one's items."""
    low, high = (
        {each.item_id for each in RandomSample(rate=rate).draw(pool, Random()).decisions if each.drawn}
        for rate in sorted((first, second))
    )
    assert low <= high


@repeatably
@given(pools, rates, sizes, sizes)
def test_caps_nest(pool: list[Candidate], rate: float, first: int, second: int) -> None:
    """A capped sample is the beginning of the uncapped one and keeps to its cap."""
    low, high = sorted((first, second))
    found = [
        {each.item_id for each in RandomSample(rate=rate, cap=cap).draw(pool, Random()).decisions if each.drawn}
        for cap in (low, high, 10**6)
    ]
    assert found[0] <= found[1] <= found[2]
    assert len(found[0]) == min(low, len(found[2]))


@repeatably
@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 500), min_size=1, max_size=30),
    st.floats(0, 1),
    st.none() | st.dictionaries(st.text(max_size=3), st.floats(0, 10)),
)
def test_allocations_are_exact(strata: dict[str, int], share: float, spreads: dict[str, float] | None) -> None:
    """The sum is n to the item, no stratum is asked for more than it has, two of each are kept where n reaches."""
    n = len(strata) + round(share * (sum(strata.values()) - len(strata)))
    counts = allocate(strata, n, spreads)
    assert sum(counts.values()) == n
    assert all(1 <= counts[name] <= size for name, size in strata.items())
    if n >= sum(min(2, size) for size in strata.values()):
        assert all(counts[name] >= min(2, size) for name, size in strata.items())


POOL = [
    Candidate(f"id-{place}", START + timedelta(hours=place), "aaaabbbccd"[place % 10], (place * 7 % 30) / 30)
    for place in range(30)
]
RULES = {
    "all, capped": All(cap=9),
    "random": RandomSample(n=9),
    "stratified": Stratified(field="metadata.x", n=12),
    "neyman": Stratified(field="metadata.x", n=12, allocation="neyman", spreads=SPREADS),
    "stratified, rate": Stratified(field="metadata.x", rate=0.35),
    "stratified, too few": Stratified(field="metadata.x", rate=0.05),
    "stratified, less than one": Stratified(field="metadata.x", rate=0.02),
    "decay": TemporalDecay(n=9, half_life_hours=5),
    "decay, rate": TemporalDecay(rate=0.02, half_life_hours=5, floor=0.5),
    "uncertainty": Uncertainty(n=20),
}


def excess(draws: Sequence[Draw]) -> list[float]:
    """By candidate: how many standard deviations the times it was drawn lie from the sum of its probabilities."""
    found = []
    for place in range(len(POOL)):
        decisions = [draw.decisions[place] for draw in draws]
        expected = math.fsum(each.probability or 0.0 for each in decisions)
        variance = math.fsum((each.probability or 0.0) * (1 - (each.probability or 0.0)) for each in decisions)
        drawn = sum(each.drawn for each in decisions)
        found.append((drawn - expected) / math.sqrt(variance) if variance > 1e-9 else drawn - expected)
    return found


@pytest.mark.parametrize("name", RULES)
def test_items_are_drawn_as_often_as_recorded(name: str) -> None:
    """The recorded probability is the true one: in 2,000 draws no item is off by more than 5 standard deviations."""
    draws = [RULES[name].draw(POOL, Random(seed)) for seed in range(2000)]
    assert max(abs(each) for each in excess(draws)) < 5


def test_hash_rates_draw_as_often_as_recorded() -> None:
    """The same over salts, which is where a hash sample's chance lies."""
    draws = [RandomSample(rate=0.3, salt=f"salt {each}").draw(POOL, Random()) for each in range(2000)]
    assert max(abs(each) for each in excess(draws)) < 5


def test_the_probability_of_a_capped_rate_is_unbiased() -> None:
    """Over 4,000 salts the weights 1/pi of the drawn sum to the pool's size, and weighted values to their total.

    The mean of the sums must lie within 5 of its standard errors.
    """
    rules = [RandomSample(rate=0.6, cap=8, salt=str(salt)) for salt in range(4000)]
    draws = [rule.draw(POOL, Random()).decisions for rule in rules]
    for column in ([1.0] * len(POOL), [float(place) for place in range(len(POOL))]):
        sums = []
        for decisions in draws:
            pairs = zip(decisions, column, strict=True)
            sums.append(math.fsum(value / (each.probability or 1.0) for each, value in pairs if each.drawn))
        mean = math.fsum(sums) / len(sums)
        error = math.sqrt(math.fsum((each - mean) ** 2 for each in sums)) / len(sums)
        assert abs(mean - math.fsum(column)) < 5 * error
