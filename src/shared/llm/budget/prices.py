"""What models cost: a table from names to prices in US dollars per million tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]

PICO = 10**12
"""Money is added up in whole picodollars (a trillionth), so that no rounding ever exceeds a budget."""


class Price(BaseModel):
    """The price of one model, in US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input: Dollars = Field(description="of the question")
    output: Dollars = Field(description="of the answer")
    cached_input: Dollars | None = Field(default=None, description="of what the server had read before; default: input")
    batch: float = Field(default=0.5, ge=0, le=1, description="the factor on answers of the batch lane")

    def picodollars(self, input: int, cached_input: int, output: int, lane: str = "direct") -> int:
        """What a call costs, rounded up. `cached_input` is a part of `input`; all three are tokens, >= 0."""
        cached = min(cached_input, input)
        known = self.input if self.cached_input is None else self.cached_input
        dollars = (input - cached) * self.input + cached * known + output * self.output
        return math.ceil(dollars * (self.batch if lane == "batch" else 1.0) * (PICO // 10**6))

    def max_picodollars(self, input: int, output: int) -> int:
        """What a call of so many tokens costs at most, in picodollars: nothing of it read before, asked directly."""
        dearest = max(self.input, self.cached_input or 0.0)
        return math.ceil((input * dearest + output * self.output) * (PICO // 10**6))


FREE = Price(input=0.0, output=0.0)
"""Of models that nobody is paid for."""


class PriceTable:
    """Prices by model name. A name may be a pattern such as `gpt-5*`; an exact name goes before every pattern, and of
    patterns the longest one counts.
    """

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)

    @property
    def names(self) -> list[str]:
        """The names and patterns, in their order."""
        return list(self._prices)

    def find(self, *names: str) -> Price | None:
        """The price of a model that is known by any of these names, the first name first; None without one."""
        for name in names:
            if name in self._prices:
                return self._prices[name]
            fitting = [each for each in self._prices if fnmatchcase(name, each)]
            if fitting:
                return self._prices[max(fitting, key=len)]
        return None
