"""A histogram of a stream of numbers whose range nobody knows before, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MOST_BINS = 2_000
_FINEST = -9
_LARGEST = 1e12
_MOST_BARS = 24
_FEW = 9


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """The values in [low, high): how many, their share (weighted to the traffic where it can be), and of that share
    the part that did not pass. `low == high` is a single value.
    """

    low: float
    high: float
    n: int
    share: float
    failed: float = 0.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """The scores of one metric: fixed bars, the extremes, and how many values were too large to be drawn."""

    bars: tuple[HistogramBar, ...]
    n: int
    low: float
    high: float
    weighted: bool
    not_drawn: int = 0

    @property
    def constant(self) -> bool:
        """Whether every value was the same."""
        return self.low == self.high


class Histogram:
    """Counts values in decimal bins that grow tenfold whenever there are too many of them."""

    def __init__(self) -> None:
        self._exponent = _FINEST
        self._bins: dict[int, tuple[int, float, float]] = {}
        self._few: set[float] = set()
        self.n = 0
        self.not_drawn = 0
        self.low = math.inf
        self.high = -math.inf
        self._weighted = True

    def add(self, value: float, probability: float | None, passed: bool | None) -> None:
        """Count one finite value, with its probability of having been drawn and its verdict."""
        self.n += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        self._weighted = self._weighted and probability is not None
        if abs(value) > _LARGEST:
            self.not_drawn += 1
            return
        if len(self._few) <= _FEW:
            self._few.add(value)
        weight = 1.0 / probability if probability else 1.0
        index = self._index(value)
        n, all_weight, failed = self._bins.get(index, (0, 0.0, 0.0))
        self._bins[index] = (n + 1, all_weight + weight, failed + (weight if passed is False else 0.0))
        while len(self._bins) > _MOST_BINS:
            self._coarsen()

    def build(self) -> Distribution | None:
        """At most two dozen bars with round edges; None without values."""
        if not self.n:
            return None
        total = sum(weight for _, weight, _ in self._bins.values()) or 1.0
        bars = self._single(total) if len(self._few) <= _FEW else self._grouped(total)
        return Distribution(tuple(bars), self.n, self.low, self.high, self._weighted, self.not_drawn)

    def _index(self, value: float) -> int:
        # The tiny push keeps 0.3 in the bin that starts at 0.3, whatever binary makes of it.
        return math.floor(value * 10.0**-self._exponent + 1e-6)

    def _coarsen(self) -> None:
        self._exponent += 1
        merged: dict[int, tuple[int, float, float]] = {}
        for index, (n, weight, failed) in self._bins.items():
            have = merged.get(index // 10, (0, 0.0, 0.0))
            merged[index // 10] = (have[0] + n, have[1] + weight, have[2] + failed)
        self._bins = merged

    def _single(self, total: float) -> list[HistogramBar]:
        # Values that share a bin come out as the smallest of them.
        values = {self._index(value): value for value in sorted(self._few, reverse=True)}
        return [
            HistogramBar(values[index], values[index], n, weight / total, failed / total)
            for index, (n, weight, failed) in sorted(self._bins.items())
        ]

    def _grouped(self, total: float) -> list[HistogramBar]:
        low, high = self._core()
        step = self._step(low, high)
        groups: dict[int, list[float]] = {}
        for index, (n, weight, failed) in self._bins.items():
            group = groups.setdefault(index // step, [0, 0.0, 0.0])
            group[0], group[1], group[2] = group[0] + n, group[1] + weight, group[2] + failed
        top = self._index(self.high) if abs(self.high) <= _LARGEST else None
        if top is not None and top % step == 0 and top // step - 1 in groups and top // step in groups:
            last = groups.pop(top // step)  # the largest value closes the last bin instead of opening one of its own
            groups[top // step - 1] = [a + b for a, b in zip(groups[top // step - 1], last, strict=True)]
        first, end = low // step, high // step
        return _merge_bars(groups, (first, end), step * 10.0**self._exponent, total)

    def _core(self) -> tuple[int, int]:
        """Where the values are, without the far tail of the outermost twentieth on either side."""
        indices = sorted(self._bins)
        low, high = self._quantile(indices, 0.05), self._quantile(indices, 0.95)
        reach = math.ceil(1.5 * max(high - low, 1))
        return max(indices[0], low - reach), min(indices[-1], high + reach)

    def _quantile(self, indices: list[int], share: float) -> int:
        seen, wanted = 0, share * sum(n for n, _, _ in self._bins.values())
        for index in indices:
            seen += self._bins[index][0]
            if seen >= wanted:
                return index
        return indices[-1]

    def _step(self, low: int, high: int) -> int:
        step = 1
        while (high - low) // step + 1 > _MOST_BARS:
            leading = int(str(step)[0])
            step = step // leading * {1: 2, 2: 5, 5: 10}[leading]
        return step


def _merge_bars(
    groups: dict[int, list[float]], ends: tuple[int, int], width: float, total: float
) -> list[HistogramBar]:
    """Bars between the ends; what lies beyond becomes one bar at each end, reaching to infinity."""
    bars: dict[int, list[float]] = {}
    for index, group in groups.items():
        at = min(max(index, ends[0] - 1), ends[1] + 1)
        have = bars.setdefault(at, [0, 0.0, 0.0])
        bars[at] = [a + b for a, b in zip(have, group, strict=True)]
    out = []
    for index, (n, weight, failed) in sorted(bars.items()):
        low = -math.inf if index < ends[0] else round(index * width, 12)
        high = math.inf if index > ends[1] else round((index + 1) * width, 12)
        out.append(HistogramBar(low, high, int(n), weight / total, failed / total))
    return out
