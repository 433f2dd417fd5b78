"""What a metric series is expected to be: a level, a daily season, and how far looks lie apart without any change.

A look is the items of one hour (or quarter of an hour). The fit is weighted least squares on an intercept and two
daily harmonics; the variance of a look is that between looks (tau squared) and that within them by their size (s
squared / N). The season is shrunk by how much of it noise explains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

LEAST_LOOKS = 48
"""Looks without which nothing is expected: two days by hour."""

_ROUNDS = 3
_FLOOR = 0.15  # of a rate: how near to 0 or 1 the season may bring it
_HARMONICS = (1, 2)
_DAY = 24.0


@dataclass(frozen=True, slots=True)
class Look:
    """The items of one stretch of time: when it starts (UTC), how many they are, their mean, and the sum of squares
    about it.
    """

    start: datetime
    n: float
    mean: float
    squares: float


@dataclass(frozen=True, slots=True)
class SeasonalBaseline:
    """What looks are expected to be. `level` is the mean without season, `season` its four coefficients (shrunk),
    `within` the variance of an item within a look, `between` that between looks, `spread` (g, at least 1) how much more
    sums over hours vary than independent looks would, `correlation` that of looks that follow one another.
    """

    level: float
    season: tuple[float, ...]
    within: float
    between: float
    rate: bool
    spread: float = 1.0
    correlation: float = 0.0
    looks: int = 0

    def expect(self, start: datetime) -> float:
        """The mean that a look is expected to have."""
        found = self.level + float(np.dot(_design([start])[0, 1:], self.season))
        if not self.rate:
            return found
        return min(max(found, _FLOOR * self.level), 1 - _FLOOR * (1 - self.level))

    def standardize(self, look: Look) -> float:
        """The look's distance from its expectation, in standard deviations of an unchanged process."""
        expected = self.expect(look.start)
        noise, extra = self.within, self.between
        if self.rate:
            noise *= expected * (1 - expected) / (self.level * (1 - self.level))
            extra *= (expected / self.level) ** 2
        return (look.mean - expected) / math.sqrt(extra + noise / look.n)


def fit_baseline(looks: Sequence[Look], rate: bool) -> tuple[SeasonalBaseline, list[float]] | None:
    """The baseline and the standardized looks that it was made of, in their order; None where nothing can be expected
    yet: fewer than `LEAST_LOOKS`, or values that do not vary.
    """
    looks = [each for each in looks if each.n > 0]
    count = len(looks)
    if count < LEAST_LOOKS:
        return None
    sizes = np.array([each.n for each in looks])
    means = np.array([each.mean for each in looks])
    degrees = float(np.sum(np.maximum(sizes - 1, 0)))
    within = float(sum(each.squares for each in looks)) / degrees if degrees > 0 else 0.0
    design = _design([each.start for each in looks])
    between, coefficients, left = 0.0, np.zeros(design.shape[1]), means
    for _ in range(_ROUNDS):
        weights = 1 / (between + within / sizes) if within or between else np.ones(count)
        root = np.sqrt(weights)
        coefficients = np.linalg.lstsq(design * root[:, None], means * root, rcond=None)[0]
        left = means - design @ coefficients
        between = max(0.0, float(np.mean(left**2)) * count / (count - 3) - within * float(np.mean(1 / sizes)))
    level, season = float(coefficients[0]), coefficients[1:]
    if within <= 0 or (rate and not 0 < level < 1):
        return None
    swing = float(np.sum((design[:, 1:] @ season) ** 2))
    shrink = max(0.0, 1 - 4 * (float(np.sum(left**2)) / (count - 5)) / swing) if swing > 0 else 0.0
    made = SeasonalBaseline(level, tuple(shrink * float(each) for each in season), within, between, rate, looks=count)
    scale = 1 - (1 + 4 * shrink) / count
    distances = [made.standardize(each) / scale for each in looks]
    spread = _measure_spread(looks, distances)
    return replace(made, spread=spread, correlation=_correlate(distances)), distances


def _design(starts: Sequence[datetime]) -> np.ndarray:
    hours = np.array([each.hour + each.minute / 60 for each in starts])
    waves = [wave(2 * np.pi * j * hours / _DAY) for j in _HARMONICS for wave in (np.sin, np.cos)]
    return np.column_stack([np.ones(len(starts)), *waves])


def _measure_spread(looks: Sequence[Look], distances: Sequence[float]) -> float:
    """How much more sums over blocks of 4 and 12 hours (1 hour too, of shorter looks) vary than independent looks."""
    square = float(np.mean(np.square(distances)))
    if square <= 0:
        return 1.0
    hourly = all(each.start.minute == 0 for each in looks)
    found = [1.0]
    for hours in (4, 12) if hourly else (1, 4, 12):
        sums: dict[int, list[float]] = {}
        for look, distance in zip(looks, distances, strict=True):
            sums.setdefault(int(look.start.timestamp() // (3600 * hours)), []).append(distance)
        squares = float(np.mean([sum(block) ** 2 for block in sums.values()]))
        size = float(np.mean([len(block) for block in sums.values()]))
        found.append(squares / size / square - math.sqrt(2 / len(sums)))
    return max(found)


def _correlate(distances: Sequence[float]) -> float:
    values = np.asarray(distances) - np.mean(distances)
    square = float(np.dot(values, values))
    return float(np.dot(values[:-1], values[1:])) / square if square > 0 else 0.0
