"""A cascade: a cheap metric first, the judge only where that is unsure, and elsewhere by chance.

    judged for certain          where low <= cheap value <= high
    judged with chance `audit`  elsewhere, decided by the item's id and `seed`: the same in every run

The item's own score is the judge's where it was asked, else the cheap one's. The *aggregate* is unbiased for the
judge's mean and pass rate, whatever the cheap metric is worth: an item counts there as

    cheap + (judge - cheap) / chance  when it was judged,  cheap  otherwise

(the difference estimator; `scoring/statistics/two_phase.py` has its errors). A plain mean of the items' scores is not
unbiased. It pays when the cheap metric agrees with the judge outside of the band: each disagreement found there counts
1/`audit` times, and widens the interval.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from shared.core.digests import unit_interval
from shared.core.errors import ConfigError, ItemError
from shared.core.records import DatasetItem
from shared.core.results import MetricScore, Score
from shared.scoring.metric import BoundMetric, metric
from shared.scoring.verdict_rows import ItemVerdicts, record_answer

Share = Annotated[float, Ge(0), Le(1)]
Chance = Annotated[float, Gt(0), Le(1)]


@metric(name="cascade", by_chance=True, path="shared.scoring.metrics.cascade:Cascade")
@dataclass(frozen=True)
class Cascade:
    """A judge that is asked where a cheap metric is uncertain, and for a random part of the other items.

    Passes by the judge's threshold unless it has its own. Where the cheap metric does not apply the judge is asked
    for certain; where the judge does not apply the cascade does not.

    Raises:
        ConfigError: when low is above high, a part is blocking, inverse, or not between 0 and 1, or the judge is a
            cascade: whether it was asked is then decided twice.
    """

    cheap: BoundMetric
    judge: BoundMetric
    low: Share
    high: Share
    audit: Chance = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"found low {self.low:g} above high {self.high:g}; expected the lower bound first")
        _check_part("cheap", self.cheap)
        _check_part("judge", self.judge)
        if self.judge.spec.by_chance:
            raise ConfigError(
                "judge: a cascade asks by chance itself; make it the 'cheap' part, and its judge the judge"
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """What either of the two reads of an item."""
        return tuple(dict.fromkeys((*self.cheap.reads, *self.judge.reads)))

    @property
    def threshold(self) -> float | None:
        """The judge's."""
        return self.judge.threshold

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The judge's score, or the cheap one with the chance that the judge had."""
        cheap = await _score_part(self.cheap, item)
        unsure = cheap is None or self.low <= cheap.value <= self.high
        chance = 1.0 if unsure else self.audit
        if cheap is not None and not unsure and unit_interval(f"cascade {self.seed}", item.id) >= self.audit:
            signals = {"judged": False, "chance": chance, "cheap": cheap.value, "cheap_signals": cheap.signals}
            why = f"not judged ({self.cheap.spec.name} is sure): {cheap.explanation}"
            return Score(
                cheap.value, why, signals, cost=cheap.cost, model=cheap.model, proxy=cheap.value, chance=chance
            )
        said = await _score_part(self.judge, item)
        if said is None:
            return None
        proxy = said.value if cheap is None else cheap.value
        signals = {
            "judged": True,
            "chance": chance,
            "cheap": None if cheap is None else cheap.value,
            "judge_signals": said.signals,
        }
        costs = [each.cost for each in (cheap, said) if each is not None and each.cost is not None]
        cost = sum(costs) if costs else None
        return Score(said.value, said.explanation, signals, cost=cost, model=said.model, proxy=proxy, chance=chance)


def _check_part(name: str, part: BoundMetric) -> None:
    problem = (
        "runs in a process of its own"
        if part.blocking
        else "passes below its threshold"
        if part.inverse
        else "is not between 0 and 1"
        if (part.spec.low, part.spec.high) != (0.0, 1.0)
        else None
    )
    if problem is not None:
        raise ConfigError(f"{name}: {part.spec.name!r} {problem}; it cannot be part of a cascade")


async def _score_part(part: BoundMetric, item: DatasetItem) -> MetricScore | None:
    """What a part says of the item, None where it does not apply.

    Raises:
        ItemError: when its answer is no score; and whatever the part itself raises.
    """
    answer = part.call(item)
    if inspect.isawaitable(answer):
        answer = await answer
    verdicts = ItemVerdicts(item)
    record_answer(part, answer, verdicts)
    if verdicts.failures:
        failure = verdicts.failures[0]
        raise ItemError(f"{part.label}: {failure.kind}: {failure.message}")
    return verdicts.scores[0] if verdicts.scores else None
