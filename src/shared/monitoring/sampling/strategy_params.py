"""What all sampling strategies have in common: strict parameters, a size, a probability with every decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from math import isnan, nan
from random import Random
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.core.counts import Information, change_note
from shared.core.records import DatasetItem
from shared.core.results import Candidate, Draw
from shared.monitoring.sampling.draws import Choice, InOrder, LazyDecisions, order_by_hash
from shared.monitoring.sampling.inclusion import fill_weights, poisson_probabilities

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class SamplingParams(BaseModel, ABC):
    """Parameters and strategy in one. Types are strict: `n: ten`, `n: true` and `n: 2.5` are errors.

    `seed` makes draws repeatable: the run's generator is made of it and of the run's time.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    unbiased: ClassVar[bool] = True
    uniform: ClassVar[bool] = False

    seed: int | None = Field(default=None, description="makes the draws repeatable")

    def candidate(self, item: DatasetItem) -> Candidate:
        """What the draw needs to know of an item."""
        return Candidate(item.id)

    def draw(self, pool: Sequence[Candidate], rng: Random) -> Draw:
        """One decision per candidate, in the order of the pool; an empty pool gives an empty draw.

        What is drawn by chance depends on the ids and the generator alone, not on the order of the pool.
        """
        if not pool:
            return Draw(())
        places = order_by_hash(pool) if self.unbiased else range(len(pool))
        choice = self._draw(InOrder(pool, places), rng)
        drawn = bytearray(len(pool))
        for place in choice.drawn:
            drawn[places[place]] = 1
        chances = choice.chance
        if not isinstance(chances, float | None):
            given, chances = chances, array("d", bytes(8 * len(pool)))
            for place, chance in zip(places, given, strict=True):
                chances[place] = chance
        notes = tuple(change_note(note, f"sampling {self.name}: {{}}".format) for note in choice.notes)
        return Draw(LazyDecisions(pool, drawn, chances, self.name, choice.stratum), notes)

    @abstractmethod
    def _draw(self, pool: Sequence[Candidate], rng: Random) -> Choice:
        """What is drawn from a pool of one or more."""

    def _draw_all(self, pool: Sequence[Candidate]) -> Choice:
        return Choice(range(len(pool)), 1.0, stratum="")


class SizedParams(SamplingParams):
    """Parameters of a strategy that takes a number of items or a share of them."""

    n: Count | None = Field(default=None, description="how many items to draw, >= 1")
    rate: Share | None = Field(default=None, description="the share of items to draw, in (0, 1]")

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        if self.n is None and self.rate is None:
            raise ValueError(f"{self.name} needs n or rate (n: how many items, rate: a share in (0, 1])")
        if self.n is not None and self.rate is not None:
            raise ValueError(f"{self.name} takes n or rate, not both; found n: {self.n} and rate: {self.rate:g}")
        return self

    def _size(self, count: int) -> float:
        """How many items of a pool of `count` are expected to be drawn, at most all of them."""
        return min(float(count), self.n if self.n is not None else (self.rate or 0.0) * count)


class WeightedParams(SizedParams):
    """Parameters of a strategy that draws by weight.

    Poisson sampling: each item is drawn on its own with the probability that is recorded, so the size of the sample is
    random and `n` (or rate x N) is its expectation. `floor` is the share of the probability that is spread uniformly:
    without it a few items of tiny probability carry the whole estimate (measured: cover .90 instead of .94).
    """

    weighed_by: ClassVar[str]

    floor: float = Field(default=0.2, ge=0, le=1, description="share of the probability spread uniformly, in [0, 1]")

    @abstractmethod
    def _weights(self, pool: Sequence[Candidate]) -> Iterable[float | None]:
        """A weight in [0, 1] per candidate, None where it is unknown."""

    def _draw(self, pool: Sequence[Candidate], rng: Random) -> Choice:
        size = self._size(len(pool))
        if size >= len(pool):
            return self._draw_all(pool)
        weights = array("d", (nan if each is None else each for each in self._weights(pool)))
        lacking = sum(map(isnan, weights))
        weights = array("d", fill_weights(weights))
        probabilities = poisson_probabilities(weights, size, self.floor)
        drawn = [place for place, pi in enumerate(probabilities) if rng.random() < pi]
        notes: list[str] = [
            Information(f"sampled {len(drawn):,} items where {size:g} were expected (the size is random)")
        ]
        if lacking:
            what = f"{lacking:,} of {len(pool):,} items have no {self.weighed_by} and take the mean weight"
            notes.append(what)
        return Choice(drawn, probabilities, tuple(notes))
