"""What each sampling strategy draws, what it records, what it tells the user, and what it refuses."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from shared.core.digests import unit_interval
from shared.core.ports import SamplingStrategy
from shared.core.records import DatasetItem
from shared.core.results import Candidate, Draw
from shared.monitoring.sampling.inclusion import allocate, fill_weights, poisson_probabilities
from shared.monitoring.sampling.strategies import (
    MISSING,
    STRATEGIES,
    All,
    MostRecent,
    Oldest,
    RandomSample,
    Stratified,
    TemporalDecay,
    Uncertainty,
    sample_items,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINIMAL: dict[str, dict[str, Any]] = {
    "all": {},
    "random": {"n": 2},
    "most_recent": {"n": 2},
    "oldest": {"n": 2},
    "stratified": {"n": 2, "field": "metadata.channel"},
    "temporal_decay": {"n": 2, "half_life_hours": 24},
    "uncertainty": {"n": 2},
}


def pool_of(count: int) -> list[Candidate]:
    return [Candidate(f"id-{place}", NOON, "one", 0.5) for place in range(count)]


def drawn_ids(draw: Draw) -> list[str]:
    return [each.item_id for each in draw.decisions if each.drawn]


def chances(draw: Draw) -> list[float]:
    return [each.probability for each in draw.decisions if each.probability is not None]


def refusal(name: str, params: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        STRATEGIES[name].model_validate(params)
    return str(caught.value)


def test_the_names_are_those_of_the_yaml() -> None:
    """A strategy that is renamed or lost breaks the configs that users have."""
    assert set(STRATEGIES) == set(MINIMAL)


@pytest.mark.parametrize("name", MINIMAL)
def test_every_strategy_fills_the_port(name: str) -> None:
    """The pipeline works on the port alone: a name, a candidate per item, a decision per candidate."""
    strategy: SamplingStrategy = STRATEGIES[name].model_validate(MINIMAL[name])
    draw = strategy.draw([strategy.candidate(DatasetItem(id=each)) for each in "abc"], Random(1))
    assert [each.item_id for each in draw.decisions] == ["a", "b", "c"]
    assert {each.strategy for each in draw.decisions} == {strategy.name} == {name}


@pytest.mark.parametrize("name", MINIMAL)
def test_an_empty_pool_gives_an_empty_draw(name: str) -> None:
    """A run that finds nothing new must not fail in its sampling."""
    assert STRATEGIES[name].model_validate(MINIMAL[name]).draw([], Random(1)) == Draw(())


@pytest.mark.parametrize("name", [name for name in MINIMAL if name not in ("most_recent", "oldest")])
@pytest.mark.parametrize("size", [{"n": 3}, {"n": 9}, {"rate": 1.0}])
def test_a_size_that_reaches_everyone_is_a_census(name: str, size: dict[str, Any]) -> None:
    """Drawing all is certain: probability 1 for each, and nothing to tell."""
    params = {key: value for key, value in MINIMAL[name].items() if key != "n"} | (size if name != "all" else {})
    draw = STRATEGIES[name].model_validate(params).draw(pool_of(3), Random(1))
    assert [(each.drawn, each.probability) for each in draw.decisions] == [(True, 1.0)] * 3
    assert draw.notes == ()


@pytest.mark.parametrize("wrong", ["ten", True, 2.5, 0, -1])
@pytest.mark.parametrize("name", [name for name in MINIMAL if name != "all"])
def test_n_must_be_a_whole_number_of_one_or_more(name: str, wrong: object) -> None:
    """A wrong n is a configuration error; it was once read as "all" or "none"."""
    assert "\nn\n" in refusal(name, MINIMAL[name] | {"n": wrong})


@pytest.mark.parametrize("wrong", [0, 1.5, -0.1, "half", True, float("nan")])
def test_a_rate_is_a_share(wrong: object) -> None:
    """A rate outside (0, 1] has no meaning as a probability."""
    assert "\nrate\n" in refusal("random", {"rate": wrong})


@pytest.mark.parametrize("name", ["random", "stratified", "temporal_decay", "uncertainty"])
def test_one_of_n_and_rate(name: str) -> None:
    """Without a size the draw would be arbitrary, with two it would be ambiguous; the message says what to write."""
    rest = {key: value for key, value in MINIMAL[name].items() if key != "n"}
    assert f"{name} needs n or rate" in refusal(name, rest)
    assert f"{name} takes n or rate, not both" in refusal(name, rest | {"n": 3, "rate": 0.5})


def test_a_queue_needs_its_n() -> None:
    """most_recent without n once returned everything, oldest crashed."""
    assert "Field required" in refusal("most_recent", {})
    assert "Field required" in refusal("oldest", {})


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("random", {"cap": 5}),
        ("random", {"salt": "other"}),
        ("stratified", {"spreads": {"a": 0.1}}),
        ("stratified", {"metric": "Relevance"}),
        ("stratified", {"allocation": "neyman", "spreads": {"a": -0.1}}),
        ("uncertainty", {"feature": "max"}),
        ("uncertainty", {"floor": 1.1}),
        ("temporal_decay", {"half_life_hours": 0}),
        ("all", {"n": 3}),
        ("random", {"sed": 3}),
        ("random", {"seed": "3"}),
    ],
)
def test_what_would_do_nothing_or_make_no_sense_is_refused(name: str, extra: dict[str, Any]) -> None:
    """A setting without effect is a misunderstanding; silence would let it live on."""
    refusal(name, MINIMAL[name] | extra)


def test_a_misspelt_field_is_refused_with_the_nearest() -> None:
    """`metdata.channel` would put every item into one stratum without a word."""
    assert "Did you mean 'metadata'?" in refusal("stratified", {"n": 2, "field": "metdata.channel"})
    refusal("stratified", {"n": 2, "field": "metadata."})


def test_all_over_its_cap_is_a_random_sample_with_a_note() -> None:
    """A cap must never be a silent truncation, nor take the first ones only."""
    draw = All(cap=20).draw(pool_of(100), Random(1))
    assert len(drawn_ids(draw)) == 20
    assert drawn_ids(draw) != [f"id-{place}" for place in range(20)]
    assert chances(draw) == [0.2] * 100
    assert "80 over the cap" in draw.notes[0]
    assert All(cap=100).draw(pool_of(100), Random(1)).notes == ()


def test_random_n_draws_n() -> None:
    """A simple random sample has exactly n items, each with probability n/N."""
    draw = RandomSample(n=7).draw(pool_of(28), Random(3))
    assert len(drawn_ids(draw)) == 7
    assert chances(draw) == [0.25] * 28


def test_a_rate_is_a_hash_of_the_id() -> None:
    """Who is drawn depends on salt and id alone, so every metric, monitor and rerun draws the same items."""
    draws = [RandomSample(rate=0.3).draw(pool_of(200), Random(seed)) for seed in (1, 2)]
    assert draws[0] == draws[1]
    assert drawn_ids(draws[0]) == [f"id-{i}" for i in range(200) if unit_interval("trueline", f"id-{i}") < 0.3]
    assert drawn_ids(RandomSample(rate=0.3, salt="other").draw(pool_of(200), Random(1))) != drawn_ids(draws[0])


def test_a_capped_rate_keeps_the_smallest_hashes() -> None:
    """Bottom-k: the cap's items are those with the smallest numbers and the next number is their probability."""
    draw = RandomSample(rate=0.5, cap=10).draw(pool_of(200), Random(1))
    numbers = sorted((unit_interval("trueline", f"id-{i}"), f"id-{i}") for i in range(200))
    assert set(drawn_ids(draw)) == {each for _, each in numbers[:10]}
    assert set(chances(draw)) == {numbers[10][0]}
    below = sum(number < 0.5 for number, _ in numbers)
    assert f"sampled {below} of 200 items, {below - 10} over the cap" in draw.notes[0]


def test_a_cap_that_is_not_reached_changes_nothing() -> None:
    """The probability is the rate unless the cap really cut something."""
    uncapped = RandomSample(rate=0.5).draw(pool_of(50), Random(1))
    assert RandomSample(rate=0.5, cap=len(drawn_ids(uncapped))).draw(pool_of(50), Random(1)) == uncapped


def items_at(*hours: float | None) -> list[DatasetItem]:
    times = [None if each is None else NOON + timedelta(hours=each) for each in hours]
    return [DatasetItem(id=f"item-{place}", source_timestamp=time) for place, time in enumerate(times)]


def test_queues_sort_by_time() -> None:
    """Sources need not be ordered: newest and oldest are found by timestamp, items without one come last."""
    items = items_at(3, None, 1, 5, 1)
    picked = {
        rule.name: [item.id for item, _ in sample_items(items, rule, Random(1))]
        for rule in (MostRecent(n=2), Oldest(n=2))
    }
    assert picked == {"most_recent": ["item-0", "item-3"], "oldest": ["item-2", "item-4"]}


def test_ties_in_time_keep_the_order_of_the_pool() -> None:
    """Two runs over the same pool must show the same queue."""
    for rule in (MostRecent(n=2), Oldest(n=2)):
        assert [item.id for item, _ in sample_items(items_at(1, 1, 1), rule, Random(1))] == ["item-0", "item-1"]


def test_queues_have_no_probability_and_say_who_came_last() -> None:
    """An inspection queue must never be averaged as if it were a sample."""
    for rule in (MostRecent(n=2), Oldest(n=2)):
        draw = rule.draw([rule.candidate(item) for item in items_at(1, None, None)], Random(1))
        assert not rule.unbiased
        assert {each.probability for each in draw.decisions} == {None}
        assert [each.drawn for each in draw.decisions] == [True, True, False]
        assert "2 of 3 items have no timestamp" in draw.notes[0]


def strata_pool(**sizes: int) -> list[Candidate]:
    return [Candidate(f"{name}-{place}", stratum=name) for name, size in sizes.items() for place in range(size)]


def count_by_stratum(draw: Draw) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in draw.decisions:
        found[each.stratum] = found.get(each.stratum, 0) + each.drawn
    return found


def test_strata_are_proportional_with_two_each() -> None:
    """A small stratum keeps two items, so that its spread can be estimated; probabilities are n_h/N_h."""
    draw = Stratified(field="metadata.channel", n=20).draw(strata_pool(big=900, middle=90, small=10), Random(1))
    assert count_by_stratum(draw) == {"big": 16, "middle": 2, "small": 2}
    assert {each.stratum: each.probability for each in draw.decisions} == {
        "big": 16 / 900,
        "middle": 2 / 90,
        "small": 2 / 10,
    }
    assert draw.notes == ()


def test_neyman_draws_more_where_scores_spread() -> None:
    """Neyman's allocation is size times spread; 300 x .4 to 300 x .1 is 4 to 1."""
    rule = Stratified(field="metadata.channel", n=50, allocation="neyman", metric="Relevance")
    ready = rule.with_spreads({"wide": 0.4, "calm": 0.1})
    assert ready.metric == "Relevance"
    assert count_by_stratum(ready.draw(strata_pool(wide=300, calm=300), Random(1))) == {"wide": 40, "calm": 10}


def test_neyman_without_spreads_says_that_it_is_proportional() -> None:
    """The first run has no earlier scores: it must work, and say what it did instead."""
    rule = Stratified(field="metadata.channel", n=40, allocation="neyman")
    for ready in (rule, rule.with_spreads({"unheard of": 0.3})):
        draw = ready.draw(strata_pool(a=300, b=100), Random(1))
        assert count_by_stratum(draw) == {"a": 30, "b": 10}
        assert "no standard deviations are known" in draw.notes[0]


def test_a_stratum_without_a_spread_takes_the_mean_and_none_counts_as_nothing() -> None:
    """A new channel is drawn like an average one; one whose few scores were all equal is not given up."""
    counts = allocate({"a": 100, "b": 100, "new": 100}, 101, {"a": 0.4, "b": 0.0})
    assert counts == {"a": 65, "b": 3, "new": 33}  # in proportion to .4, .02 (a tenth of the mean) and .2


def test_spreads_are_checked() -> None:
    """A spread of NaN would make every allocation undefined."""
    rule = Stratified(field="metadata.channel", n=40, allocation="neyman")
    with pytest.raises(ValidationError):
        rule.with_spreads({"a": float("nan")})


def test_fewer_items_than_strata_is_one_random_sample() -> None:
    """Strata that get nothing would leave their items a probability of 0, and the estimate a bias."""
    draw = Stratified(field="metadata.channel", n=2).draw(strata_pool(a=5, b=5, c=5, d=5), Random(1))
    assert count_by_stratum(draw) == {"": 2}
    assert chances(draw) == [0.1] * 20
    assert "cannot reach all strata of metadata.channel (4)" in draw.notes[0]


def test_less_than_one_item_is_drawn_with_the_rate_itself() -> None:
    """A rate of .05 of ten items draws one or none: each has .05, not the .1 or 0 that follows from how it fell."""
    rule = Stratified(field="metadata.channel", rate=0.05)
    draws = [rule.draw(strata_pool(only=10), Random(seed)) for seed in range(20)]
    assert {len(drawn_ids(draw)) for draw in draws} == {0, 1}
    assert {chance for draw in draws for chance in chances(draw)} == {0.05}


def test_strata_left_with_one_item_are_told() -> None:
    """A single item says nothing of its stratum's spread; the user can raise n."""
    draw = Stratified(field="metadata.channel", n=5).draw(strata_pool(a=9, b=5, c=5, d=1), Random(1))
    assert count_by_stratum(draw) == {"a": 2, "b": 1, "c": 1, "d": 1}
    assert "5 over 4 strata leave 2 with a single item" in draw.notes[0]


def test_the_stratum_is_the_value_as_text() -> None:
    """Any field can be the strata: numbers, flags and times become text, what is missing a stratum of its own."""
    items = [
        DatasetItem(id="a", metadata={"channel": "mail"}),
        DatasetItem(id="b", metadata={"channel": 3}),
        DatasetItem(id="c", metadata={"channel": True}),
        DatasetItem(id="d", metadata={"channel": ""}),
        DatasetItem(id="e"),
    ]
    rule = Stratified(field="metadata.channel", n=5)
    assert [rule.candidate(item).stratum for item in items] == ["mail", "3", "true", MISSING, MISSING]


def test_a_field_that_no_item_has_is_told() -> None:
    """A misspelt key of the metadata cannot be known before: it is said when it shows."""
    draw = Stratified(field="metadata.chanel", n=2).draw(
        [Candidate(f"{i}", stratum=MISSING) for i in range(9)], Random(1)
    )
    assert "no item has a value in metadata.chanel" in draw.notes[0]


def test_decay_halves_with_every_half_life() -> None:
    """The newest item is twice as likely as one a half-life older, where there is no floor."""
    rule = TemporalDecay(n=1, half_life_hours=6, floor=0.0)
    draw = rule.draw([rule.candidate(item) for item in items_at(0, 6, 12)], Random(1))
    assert chances(draw) == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert "where 1 were expected (the size is random)" in draw.notes[0]


def test_the_floor_is_spread_uniformly() -> None:
    """A floor of .3 leaves every item at least .3 n/N, however old."""
    rule = TemporalDecay(n=1, half_life_hours=1, floor=0.3)
    draw = rule.draw([rule.candidate(item) for item in items_at(-10_000, 0, 0, 0)], Random(1))
    assert chances(draw) == pytest.approx([0.3 / 4, *[0.7 / 3 + 0.3 / 4] * 3])


def test_an_item_without_a_weight_takes_the_mean() -> None:
    """Not knowing an item's time or logprobs must not exclude it."""
    assert fill_weights([0.2, None, 0.6]) == pytest.approx([0.2, 0.4, 0.6])
    assert fill_weights([None, None]) == fill_weights([0.0, None, 0.0])[:2] == [1.0, 1.0]
    rule = TemporalDecay(n=1, half_life_hours=6)
    draw = rule.draw([rule.candidate(item) for item in items_at(0, None, 6)], Random(1))
    assert "1 of 3 items have no timestamp and take the mean weight" in draw.notes[1]


def test_without_any_weight_all_are_alike() -> None:
    """A source without timestamps or logprobs still gives a fair sample, and says why it is uniform."""
    for rule in (TemporalDecay(n=1, half_life_hours=6), Uncertainty(n=1)):
        draw = rule.draw([rule.candidate(DatasetItem(id=each)) for each in "abcd"], Random(1))
        assert chances(draw) == pytest.approx([0.25] * 4)
        assert "4 of 4 items have no" in draw.notes[1]


@pytest.mark.parametrize(
    ("feature", "weight"),
    [("min", 0.8), ("mean", 1 - 0.1 ** (1 / 2)), ("sum", 0.9), ("perplexity", 1 - 0.1 ** (1 / 2))],
)
def test_uncertainty_is_one_minus_the_probability(feature: str, weight: float) -> None:
    """Token probabilities .5 and .2: the least likely .2, the geometric mean sqrt(.1), the whole answer .1."""
    rule = Uncertainty.model_validate({"n": 1, "feature": feature})
    item = DatasetItem(id="a", token_logprobs=(-0.6931471805599453, -1.6094379124341003))
    assert rule.candidate(item).weight == pytest.approx(weight)


@pytest.mark.parametrize(
    ("logprobs", "weight"), [((), None), ((float("nan"),), None), ((1e-7,), 0.0), ((float("-inf"), -1.0), 1.0)]
)
def test_odd_logprobs_give_a_usable_weight(logprobs: tuple[float, ...], weight: float | None) -> None:
    """A probability of 0, a rounding above 1 or a NaN must not end as a probability outside (0, 1]."""
    assert Uncertainty(n=1).candidate(DatasetItem(id="a", token_logprobs=logprobs)).weight == weight


def test_what_the_cut_at_one_takes_goes_to_the_others() -> None:
    """Weights 8, 1, 1 for two items: the first is certain, the other two share what is left, one half each."""
    assert poisson_probabilities([8.0, 1.0, 1.0], 2.0, 0.0) == pytest.approx([1.0, 0.5, 0.5])


def test_sample_keeps_the_order_of_the_source() -> None:
    """What is scored comes in the order in which it was read, whatever the draw."""
    items = items_at(*range(50))
    places = [items.index(item) for item, _ in sample_items(items, RandomSample(n=20), Random(5))]
    assert places == sorted(places) and len(places) == 20
