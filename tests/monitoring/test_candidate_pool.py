"""Candidates in memory: compact, and exactly what was put in."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from hashlib import md5
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.digests import digest
from shared.core.records import DatasetItem
from shared.core.results import Candidate, Decision
from shared.monitoring.candidate_pool import CandidatePool, SeenIds, StoredCandidates
from shared.monitoring.sampling.draws import digest_pool
from shared.monitoring.sampling.strategies import STRATEGIES, RandomSample, SamplingParams, TemporalDecay

texts = st.text(max_size=20)
moments = st.datetimes(timezones=st.just(UTC))
weights = st.floats(allow_nan=False, allow_infinity=False)
candidates = st.builds(Candidate, texts, st.none() | moments, texts, st.none() | weights, texts)


@given(st.lists(candidates))
def test_candidates_come_back_as_they_were(given_ones: list[Candidate]) -> None:
    """Whatever their ids, times, weights, strata and lots; by place, by slice and one after another."""
    for each in [each for each in given_ones if each.id]:  # a lot that is the beginning of the id is stored apart
        given_ones.append(Candidate(f"{each.id}@0123456789abcdef", lot=each.id))
    stored = StoredCandidates()
    for each in given_ones:
        stored.append(each)
    assert list(stored) == given_ones == stored[:]
    assert [stored[-1 - place] for place in range(len(given_ones))] == given_ones[::-1]
    with pytest.raises(IndexError):
        stored[len(given_ones)]


@given(st.lists(texts))
def test_an_id_is_new_once(ids: list[str]) -> None:
    seen = SeenIds()
    assert [seen.add(each) for each in ids] == [each not in ids[:place] for place, each in enumerate(ids)]


def test_many_ids_are_told_apart() -> None:
    """So many that they are spread over more and more parts."""
    ids = [f"trace {number}" for number in range(20_000)]
    seen = SeenIds()
    assert all([seen.add(each) for each in ids])
    assert not any([seen.add(each) for each in ids])


RULES = {
    "all": {"cap": 3},
    "random": {"n": 3},
    "most_recent": {"n": 3},
    "oldest": {"n": 30},
    "stratified": {"field": "query", "n": 5},
    "temporal_decay": {"n": 3, "half_life_hours": 1.0},
    "uncertainty": {"rate": 0.5},
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_draws_of_a_stored_pool_what_it_draws_of_a_list(name: str) -> None:
    """Decisions can be read again and again, forwards, backwards and by place."""
    rule: SamplingParams = STRATEGIES[name].model_validate(RULES[name])
    items = [
        DatasetItem(
            id=f"i{number}",
            query="ab"[number % 2],
            source_timestamp=None if number == 7 else datetime(2026, 3, 1, number, tzinfo=UTC),
            token_logprobs=None if number == 8 else (-0.1 * number,),
        )
        for number in range(20)
    ]
    pool = [rule.candidate(item) for item in items]
    stored = StoredCandidates()
    for each in pool:
        stored.append(each)
    of_list, of_stored = rule.draw(pool, Random(1)), rule.draw(stored, Random(1))
    assert of_list == of_stored
    decisions = of_stored.decisions
    assert list(reversed(decisions)) == list(decisions)[::-1] == [decisions[-1 - place] for place in range(20)]
    assert all(isinstance(each, Decision) for each in decisions)


@pytest.mark.parametrize("count", [0, 1, 25_000])
def test_a_seed_goes_with_the_ids_of_the_pool(count: int) -> None:
    """In any order, and so that what a seed has drawn is drawn again by every version."""
    ids = [f'"{number}" é' for number in range(count)]
    pool = [Candidate(each) if number % 2 else Candidate("x", lot=each) for number, each in enumerate(ids)]
    Random(1).shuffle(pool)
    assert digest_pool(7, pool) == digest([7, sorted(ids)])


@pytest.mark.parametrize("rule", [RandomSample(n=100), TemporalDecay(n=100, half_life_hours=24)])
def test_a_candidate_takes_at_most_a_hundred_bytes(rule: SamplingParams) -> None:
    """From reading it to the draw, with an id as long as a UUID."""
    count = 20_000
    pool, seen = CandidatePool(), SeenIds()
    tracemalloc.start()
    for number in range(count):
        digits = md5(b"%d" % number, usedforsecurity=False).hexdigest()
        name = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        item = DatasetItem(id=name, source_timestamp=datetime.fromtimestamp(1e9 + number, UTC))
        seen.add(item.id)
        pool.add(item, rule.candidate(item))
    del seen
    draw = rule.draw(pool.candidates, Random(1))
    sampled = sum(1 for _ in pool.read_sampled(draw.decisions))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pool.close()
    assert 50 < sampled < 150
    assert (peak - 600_000) / count <= 100  # what does not grow with them, such as 10,000 numbers sorted at a time
