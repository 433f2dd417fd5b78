"""The sampling strategies. Each is one frozen model: its parameters as they stand in the YAML, and the strategy itself.

All are pure functions of (pool, parameters, rng), and each decision records the probability the item had of being
drawn, so that estimates over the drawn items can be weighted by it (`scoring/statistics/estimates.py`). The two that
cannot have one, `most_recent` and `oldest`, are inspection queues: what they show is real, what it averages to is not.

What each draw costs in precision is measured by `benchmarks/runs/sampling_coverage.py`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest, nsmallest
from operator import itemgetter
from random import Random
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.core.counts import Information
from shared.core.digests import canonical_json, to_plain
from shared.core.records import FIELDS, DatasetItem
from shared.core.registry import hint
from shared.core.results import Candidate, Decision
from shared.monitoring.sampling.draws import Choice
from shared.monitoring.sampling.inclusion import allocate, bottom_k, round_by_chance
from shared.monitoring.sampling.strategy_params import Count, SizedParams, WeightedParams
from shared.monitoring.sampling.strategy_params import (
    SamplingParams as SamplingParams,  # the base, importable from here too
)

MISSING = "(none)"
"""The stratum of items that have no value in the field."""


class All(SamplingParams):
    """Every item, with probability 1. Over the `cap`, a simple random sample of it, and a note."""

    name: ClassVar[str] = "all"
    uniform: ClassVar[bool] = True

    cap: Count | None = Field(default=None, description="draw no more than this many of a pool")

    def _draw(self, pool: Sequence[Candidate], rng: Random) -> Choice:
        count = len(pool)
        if self.cap is None or count <= self.cap:
            return self._draw_all(pool)
        note = f"{count:,} candidates are {count - self.cap:,} over the cap; {self.cap:,} of them sampled at random"
        return Choice(rng.sample(range(count), self.cap), self.cap / count, (Information(note),))


class RandomSample(SizedParams):
    """Each item with the same probability.

    `n`: a simple random sample without replacement, probability n/N. `rate`: an item is drawn when the salted SHA-256
    of its id, as a number in [0, 1), is below the rate, so the sample of a lower rate lies inside that of a higher one,
    in every metric, monitor and rerun with the same `salt`. More than `cap` items: those with the smallest numbers
    are kept, and their probability is the one that follows from that (`draws.bottom_k`).
    """

    name: ClassVar[str] = "random"
    uniform: ClassVar[bool] = True

    cap: Count | None = Field(default=None, description="with rate: draw no more than this many of a pool")
    salt: str = Field(default="trueline", description="with rate: another salt gives an independent sample")

    @model_validator(mode="after")
    def _hashes_by_rate_only(self) -> Self:
        given = self.model_fields_set & {"cap", "salt"}
        if self.n is not None and given:
            raise ValueError(f"{' and '.join(sorted(given))} of random belong to rate and do nothing for n")
        return self

    def _draw(self, pool: Sequence[Candidate], rng: Random) -> Choice:
        count = len(pool)
        if self.rate is None:
            n = int(self._size(count))
            return self._draw_all(pool) if n == count else Choice(rng.sample(range(count), n), n / count)
        drawn, probability, below = bottom_k((each.lot or each.id for each in pool), self.salt, self.rate, self.cap)
        notes = []
        if self.cap is not None and below > self.cap:
            notes.append(
                f"rate {self.rate:g} sampled {below:,} of {count:,} items, {below - self.cap:,} over the cap; kept the "
                f"{self.cap:,} with the smallest hash, each with probability {probability:.4g}"
            )
        return Choice((place for place, yes in enumerate(drawn) if yes), probability, tuple(map(Information, notes)))


class MostRecent(SamplingParams):
    """The `n` newest items by timestamp, for inspection. Items without one come last; ties keep the source's order."""

    name: ClassVar[str] = "most_recent"
    unbiased: ClassVar[bool] = False
    newest_first: ClassVar[bool] = True

    n: Count = Field(description="how many items to draw, >= 1")

    def candidate(self, item: DatasetItem) -> Candidate:
        """An item with its time."""
        return Candidate(item.id, item.source_timestamp)

    def _draw(self, pool: Sequence[Candidate], rng: Random) -> Choice:
        timeless = array("I", (place for place, each in enumerate(pool) if each.timestamp is None))
        timed = ((each.timestamp, place) for place, each in enumerate(pool) if each.timestamp is not None)
        pick = nlargest if self.newest_first else nsmallest
        order = [place for _, place in pick(self.n, timed, key=itemgetter(0))]  # ties keep the pool's order
        late = timeless and self.n < len(pool)
        notes = [f"{len(timeless):,} of {len(pool):,} items have no timestamp and came last"] if late else []
        return Choice([*order, *timeless[: self.n - len(order)]], None, tuple(notes))


class Oldest(MostRecent):
    """The `n` oldest items by timestamp, for inspection. Items without one come last; ties keep the source's order."""

    name: ClassVar[str] = "oldest"
    newest_first: ClassVar[bool] = False


class Stratified(SizedParams):
    """A simple random sample within each stratum, the strata being the values of one field of the items.

    At least two items per stratum where it has them (so that its spread can be estimated); the rest in proportion to
    the strata's sizes, or with `neyman` to size times spread of the scores. The probability is n_h/N_h exactly. With
    `rate` the size is rate x N, rounded up or down by chance, and the design is that of the size that came out (below
    one item the probability is the rate itself). Fewer items than strata cannot reach every stratum: then one simple
    random sample is drawn over all of them, without strata, and a note says so.
    """

    name: ClassVar[str] = "stratified"

    field: str = Field(description="dotted path of an item whose values are the strata, such as metadata.channel")
    allocation: Literal["proportional", "neyman"] = "proportional"
    spreads: Mapping[str, Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="with neyman: standard deviation of the scores by stratum"
    )
    metric: str | None = Field(
        default=None, description="with neyman: label of the metric whose past scores give the spreads"
    )

    @field_validator("field")
    @classmethod
    def _is_a_field(cls, path: str) -> str:
        root, *rest = path.split(".")
        if root not in FIELDS or not all(rest):
            raise ValueError(f"{path!r} is no field of an item. {hint(root, FIELDS)}")
        return path

    @model_validator(mode="after")
    def _spreads_by_neyman_only(self) -> Self:
        given = [name for name in ("metric", "spreads") if getattr(self, name) is not None]
        if given and self.allocation != "neyman":
            raise ValueError(f"{' and '.join(given)} of stratified do nothing without allocation: neyman")
        return self

    def with_spreads(self, spreads: Mapping[str, float]) -> Self:
        """The same strategy with spreads measured on earlier scores: standard deviation (>= 0) by stratum.

        Raises:
            ValueError: (pydantic's) for a spread that is no finite number >= 0, or an allocation that uses none.
        """
        return self.model_validate(self.model_dump(exclude_unset=True) | {"spreads": dict(spreads)})

    def candidate(self, item: DatasetItem) -> Candidate:
        """An item with its stratum: the field's value as text."""
        value = to_plain(item.get(self.field))
        text = value if isinstance(value, str) else "" if value is None else canonical_json(value)
        return Candidate(item.id, stratum=text or MISSING)

    def _draw(self, pool: Sequence[Candidate], rng: Random) -> Choice:
        count = len(pool)
        size = self._size(count)
        if size >= count:
            return self._draw_all(pool)
        n = round_by_chance(size, rng)
        strata: dict[str, array[int]] = {}
        for place, each in enumerate(pool):
            strata.setdefault(each.stratum or MISSING, array("I")).append(place)
        if n < len(strata) or size < 1:
            few = f"{n:,} cannot reach all strata of {self.field} ({len(strata):,}): one simple random sample of all"
            # Below one item the size itself is the chance, so the probability must not depend on how it fell.
            return Choice(rng.sample(range(count), n), (n if size >= 1 else size) / count, (few,))
        return self._draw_strata(pool, strata, n, rng)

    def _draw_strata(self, pool: Sequence[Candidate], strata: Mapping[str, array[int]], n: int, rng: Random) -> Choice:
        sizes = {name: len(places) for name, places in strata.items()}
        counts = allocate(sizes, n, self.spreads)
        drawn: list[int] = []
        for name in sorted(strata):
            drawn += rng.sample(strata[name], counts[name])
        chance = {name: counts[name] / sizes[name] for name in sizes}
        chances = array("d", (chance[each.stratum or MISSING] for each in pool))
        return Choice(drawn, chances, tuple(self._notes(sizes, counts)), MISSING)

    def _notes(self, sizes: Mapping[str, int], counts: Mapping[str, int]) -> Iterable[str]:
        if set(sizes) == {MISSING}:
            yield f"no item has a value in {self.field}; all are one stratum"
        single = sum(counts[name] == 1 < size for name, size in sizes.items())
        if single:
            yield f"{sum(counts.values()):,} over {len(sizes):,} strata leave {single:,} with a single item"
        if self.allocation == "neyman" and not any(name in (self.spreads or {}) for name in sizes):
            yield "no standard deviations are known for these strata; sampled in proportion to their sizes instead"


class TemporalDecay(WeightedParams):
    """Newer items with a higher probability: weight 2^(-age / half-life), age counted from the newest candidate.

    An item without a timestamp takes the mean weight.
    """

    name: ClassVar[str] = "temporal_decay"
    weighed_by: ClassVar[str] = "timestamp"

    half_life_hours: float = Field(gt=0, description="the age in hours at which an item's weight has halved")

    def candidate(self, item: DatasetItem) -> Candidate:
        """An item with its time."""
        return Candidate(item.id, item.source_timestamp)

    def _weights(self, pool: Sequence[Candidate]) -> Iterable[float | None]:
        newest = max((each.timestamp for each in pool if each.timestamp is not None), default=None)
        if newest is None:
            return [None] * len(pool)
        ages = (None if each.timestamp is None else newest - each.timestamp for each in pool)
        return (None if age is None else 2.0 ** -(age.total_seconds() / 3600 / self.half_life_hours) for age in ages)


class Uncertainty(WeightedParams):
    """Uncertain answers with a higher probability: weight 1 - exp(feature of the token logprobs), in [0, 1].

    `min` is the least likely token, `mean` the mean token, `sum` the whole answer; `perplexity` is 1 - 1/perplexity,
    the same weight as `mean`. An item without logprobs takes the mean weight.
    """

    name: ClassVar[str] = "uncertainty"
    weighed_by: ClassVar[str] = "token logprobs"

    feature: Literal["min", "mean", "sum", "perplexity"] = "min"

    def candidate(self, item: DatasetItem) -> Candidate:
        """An item with how unsure the model was of it."""
        logprobs = item.token_logprobs
        if not logprobs:
            return Candidate(item.id)
        found = min(logprobs) if self.feature == "min" else math.fsum(logprobs)
        found = found / len(logprobs) if self.feature in ("mean", "perplexity") else found
        return Candidate(item.id, weight=None if math.isnan(found) else max(0.0, -math.expm1(found)))

    def _weights(self, pool: Sequence[Candidate]) -> Iterable[float | None]:
        return (each.weight for each in pool)


STRATEGIES: Mapping[str, type[SamplingParams]] = {
    each.name: each for each in (All, RandomSample, MostRecent, Oldest, Stratified, TemporalDecay, Uncertainty)
}
"""Every strategy by the name it has in the YAML."""


def sample_items(items: Sequence[DatasetItem], rule: SamplingParams, rng: Random) -> list[tuple[DatasetItem, Decision]]:
    """The drawn items with their decisions, in source order. Pure: same items, rule and seed give the same sample."""
    decisions = rule.draw([rule.candidate(item) for item in items], rng).decisions
    return [(item, decision) for item, decision in zip(items, decisions, strict=True) if decision.drawn]
