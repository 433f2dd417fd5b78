"""What was asked of models and what was remembered of their answers, in counts; and what a budget has left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BudgetUnit = Literal["usd", "tokens"]
BudgetPeriod = Literal["run", "day", "month"]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a response cache has done and holds; `saved` is what its hits cost when they were asked, in US dollars."""

    hits: int = 0
    misses: int = 0
    entries: int = 0
    bytes: int = 0
    saved: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Hits among all look-ups, 0 when there were none."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one metric asked of one model in a run.

    `calls` were made and answered, `cached` were answered from memory, `failed` were made and gave no answer. Tokens
    are those of the calls that were made (and of replayed answers); `cached_input` is the part of `input` that the
    server had read before. `cost` in US dollars, None where the model has no price. `estimated` calls came without a
    count of their tokens, which was estimated from their texts. `digest` is the metric's.
    """

    metric: str
    model: str
    calls: int = 0
    cached: int = 0
    failed: int = 0
    input: int = 0
    cached_input: int = 0
    output: int = 0
    cost: float | None = None
    estimated: int = 0
    digest: str = ""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How much of a budget is used, in US dollars or tokens: by this run, and by earlier ones of the same day or
    month (UTC).
    """

    unit: BudgetUnit
    per: BudgetPeriod
    limit: float
    spent: float
    before: float = 0.0

    @property
    def share(self) -> float:
        """Of the limit, by all of them; 1 is all of it."""
        return (self.spent + self.before) / self.limit


@dataclass(frozen=True, slots=True)
class RemainingBudget:
    """What a budget has left in one unit, and what has gone out of it, for whoever plans ahead.

    `left` is not spent; what calls under way may still cost (`reserved` at most) is in it. `largest` is the most that
    one call was ever reserved. `spent`, `squares` (the sum of the squares of what each call cost) and `calls` are of
    this run. `expected` is what an item is expected to cost by what was known before the run, None when nothing was;
    `at_most` says that it will cost less.
    """

    left: float
    reserved: float = 0.0
    largest: float = 0.0
    spent: float = 0.0
    squares: float = 0.0
    calls: int = 0
    expected: float | None = None
    at_most: bool = False
