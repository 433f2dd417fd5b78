"""Simulated months of a metric series: counts, means and sums of squares by look, many months at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rates = Callable[[np.random.Generator, int, Array], Array]

START = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday at midnight."""
DAY = 24.0


@dataclass(frozen=True)
class Looks:
    """One row a month, one column a look: items, their mean (0 where none are) and the sum of squares about it;
    `hours` is when each look starts, from `START`.
    """

    hours: Array
    counts: Array
    means: Array
    squares: Array

    def between(self, first: int, last: int) -> Looks:
        """Some of the looks."""
        place = slice(first, last)
        return Looks(self.hours[place], self.counts[:, place], self.means[:, place], self.squares[:, place])


def flat(rng: np.random.Generator, months: int, hours: Array) -> Array:
    """The same rate every hour."""
    return np.ones((months, len(hours)))


def season(rng: np.random.Generator, months: int, hours: Array) -> Array:
    """A daily swing of 30 %."""
    return np.tile(1 + 0.3 * np.sin(2 * np.pi * hours / DAY), (months, 1))


def weekly(rng: np.random.Generator, months: int, hours: Array) -> Array:
    """A fifth less on Saturdays and Sundays."""
    return np.tile(np.where(hours // DAY % 7 >= 5, 0.8, 1.0), (months, 1))


def bursts(rng: np.random.Generator, months: int, hours: Array) -> Array:
    """One hour of twenty has twice the rate."""
    return np.where(rng.random((months, len(hours))) < 0.05, 2.0, 1.0)


def correlated(rng: np.random.Generator, months: int, hours: Array) -> Array:
    """Hours that depend on those before them: AR(1) with 0.8, coefficient of variation 0.2."""
    noise = rng.normal(size=(months, len(hours)))
    for look in range(1, len(hours)):
        noise[:, look] = 0.8 * noise[:, look - 1] + 0.6 * noise[:, look]
    return np.clip(1 + 0.2 * noise, 0.05, None)


@dataclass(frozen=True)
class Traffic:
    """How the rate goes by the hour, the overdispersion of looks (beta-binomial), and the share of empty looks."""

    shape: Rates = flat
    rho: float = 0.0
    empty: float = 0.0


KINDS = {
    "flat": Traffic(),
    "season": Traffic(season),
    "rho .02": Traffic(rho=0.02),
    "rho .05": Traffic(rho=0.05),
    "bursts": Traffic(bursts),
    "missing": Traffic(empty=0.2),
    "season+rho": Traffic(season, rho=0.02),
    "AR(.8)": Traffic(correlated),
    "weekly": Traffic(weekly),
}


def simulate_rates(rng: np.random.Generator, traffic: Traffic, rates: Array, items: float, hours: Array) -> Looks:
    """Months of a share of items: `rates` is its mean by month and look, `items` the mean number of items a look."""
    rates = np.clip(rates * traffic.shape(rng, len(rates), hours), 1e-6, 1 - 1e-6)
    counts = rng.poisson(items, size=rates.shape)
    if traffic.empty:
        counts = np.where(rng.random(rates.shape) < traffic.empty, 0, counts)
    if traffic.rho:
        scale = 1 / traffic.rho - 1
        rates = rng.beta(rates * scale, (1 - rates) * scale)
    hits = rng.binomial(counts, rates)
    means = hits / np.maximum(1, counts)
    return Looks(hours, counts.astype(float), means, hits - counts * means**2)


def simulate_scores(rng: np.random.Generator, means: Array, items: float, hours: Array) -> Looks:
    """Months of scores between 0 and 1, each a Beta variable of these means with the spread of Beta(8, 2)."""
    counts = rng.poisson(items, size=means.shape)
    totals, squares = np.zeros(means.shape), np.zeros(means.shape)
    for place in range(int(counts.max())):
        value = np.where(place < counts, rng.beta(10 * means, 10 * (1 - means)), 0.0)
        totals += value
        squares += value**2
    found = totals / np.maximum(1, counts)
    return Looks(hours, counts.astype(float), found, squares - counts * found**2)
