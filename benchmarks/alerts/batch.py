"""Alert rules over many simulated months at once: the rank e-SR written a second time, on arrays, and what it is
compared with. `alert_rules.py --check` compares it with the detector of `src/`, alarm by alarm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import t as student

from benchmarks.alerts.traffic import DAY, START, Array, Looks

Flags = NDArray[np.bool_]
POOL = 888
LAMBDAS = np.array([0.5, 1.0, 2.0, 3.0])
QUIET = 6  # hours without an alarm that end an episode of a rule without memory
CALM = 3.0  # evidence below which whatever moved begins later
_BETS = np.array([0.1, 0.25, 0.5, 0.9])


@dataclass
class Fit:
    """The baselines of some months: level and shrunk season, variances within and between looks, g, distances."""

    coefficients: Array
    within: Array
    between: Array
    spread: Array
    distances: Array
    rate: bool

    def expect(self, hours: Array) -> Array:
        """The mean that each look is expected to have."""
        found = self.coefficients @ design(hours).T
        if not self.rate:
            return found
        level = self.coefficients[:, :1]
        return np.clip(found, 0.15 * level, 1 - 0.15 * (1 - level))

    def standardize(self, looks: Looks) -> Array:
        """Distances from the expectation in standard deviations; nan for an empty look."""
        expected, level = self.expect(looks.hours), self.coefficients[:, :1]
        noise, extra = self.within[:, None], self.between[:, None]
        if self.rate:
            noise = noise * expected * (1 - expected) / (level * (1 - level))
            extra = extra * (expected / level) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (looks.means - expected) / np.sqrt(extra + noise / looks.counts)
        return np.where(looks.counts > 0, found, np.nan)


def design(hours: Array) -> Array:
    """An intercept and two daily harmonics."""
    waves = [wave(2 * np.pi * j * hours / DAY) for j in (1, 2) for wave in (np.sin, np.cos)]
    return np.column_stack([np.ones(len(hours)), *waves])


def fit(looks: Looks, rate: bool) -> Fit:
    """Step 1 and 2 of the method: weighted least squares in three rounds, the season shrunk, distances scaled."""
    seen = looks.counts > 0
    count = seen.sum(axis=1)
    inverse = np.where(seen, 1 / np.maximum(1, looks.counts), 0.0)
    within = looks.squares.sum(axis=1) / np.where(seen, looks.counts - 1, 0).sum(axis=1)
    matrix, between = design(looks.hours), np.zeros(len(looks.counts))
    coefficients, square = np.zeros((len(looks.counts), 5)), np.zeros(len(looks.counts))
    for _ in range(3):
        weights = np.where(seen, 1 / (between[:, None] + within[:, None] * np.maximum(inverse, 1e-12)), 0.0)
        left_side = np.einsum("hi,mh,hj->mij", matrix, weights, matrix)
        coefficients = np.linalg.solve(left_side, ((weights * looks.means) @ matrix)[..., None])[..., 0]
        left = np.where(seen, looks.means - coefficients @ matrix.T, 0.0)
        square = (left**2).sum(axis=1)
        between = np.maximum(0, square / (count - 3) - within * inverse.sum(axis=1) / count)
    swing = (np.where(seen, coefficients[:, 1:] @ matrix[:, 1:].T, 0.0) ** 2).sum(axis=1)
    shrink = np.maximum(0, 1 - 4 * (square / (count - 5)) / swing)
    coefficients[:, 1:] *= shrink[:, None]
    made = Fit(coefficients, within, between, np.ones(len(count)), np.empty(0), rate)
    made.distances = made.standardize(looks) / (1 - (1 + 4 * shrink) / count)[:, None]
    made.spread = measure_spread(made.distances, looks.hours)
    return made


def measure_spread(distances: Array, hours: Array) -> Array:
    """Step 3: g, from blocks of 4 and 12 hours by the clock, and of 1 hour where looks are shorter."""
    seen, values = ~np.isnan(distances), np.nan_to_num(distances)
    square = (values**2).sum(axis=1) / seen.sum(axis=1)
    found = np.ones(len(distances))
    for length in (4, 12) if hours[1] - hours[0] >= 1 else (1, 4, 12):
        starts = np.unique(hours // length, return_index=True)[1]
        counts = np.add.reduceat(seen, starts, axis=1, dtype=float)
        sums = np.add.reduceat(values, starts, axis=1)
        blocks = (counts > 0).sum(axis=1)
        ratio = (sums**2).sum(axis=1) / counts.sum(axis=1) / square
        found = np.maximum(found, ratio - np.sqrt(2 / blocks))
    return found


class RankBatch:
    """Steps 4 and 5 for one direction (`sign` 1: rises, -1: falls): the evidence of some months, look by look."""

    def __init__(self, fitted: Fit, later: Looks, names: list[str], sign: int = 1) -> None:
        self.names, self.sign, self.later = names, sign, later
        self._scale = np.sqrt(fitted.spread)[:, None]
        self._expected = fitted.expect(later.hours)
        self._first = fitted.distances.shape[1]
        self._all = sign * np.concatenate([fitted.distances, fitted.standardize(later)], axis=1)
        self._sums = np.zeros((len(names), len(LAMBDAS)))
        self._seen, self._due = np.zeros(len(names)), np.zeros(len(names))
        self.ranks = np.full(later.means.shape, np.nan)

    @property
    def evidence(self) -> Array:
        """The mean of the four sums."""
        return np.asarray(self._sums.mean(axis=1))

    @property
    def ratio(self) -> Array:
        """Values over expectations since the evidence last was below 3."""
        return np.where(self._due > 0, self._seen / np.maximum(self._due, 1e-300), 1.0)

    def step(self, look: int) -> None:
        """Take one look of every month; an empty one changes nothing."""
        end = self._first + look
        pool, now = self._all[:, max(0, end - POOL) : end], self._all[:, end]
        taken, size = ~np.isnan(now), (~np.isnan(pool)).sum(axis=1)
        beyond, same = (pool > now[:, None]).sum(axis=1), (pool == now[:, None]).sum(axis=1)
        rank = (beyond + self._draw(look) * (same + 1)) / (size + 1)
        score = np.minimum(4.0, -ndtri(rank))[:, None] / self._scale
        calm = taken & (self.evidence < CALM)
        self._seen = np.where(calm, 0.0, self._seen) + np.where(taken, self.later.means[:, look], 0.0)
        self._due = np.where(calm, 0.0, self._due) + np.where(taken, self._expected[:, look], 0.0)
        grown = (1 + self._sums) * np.exp(LAMBDAS * score - LAMBDAS**2 / 2)
        self._sums = np.where(taken[:, None], grown, self._sums)
        self.ranks[:, look] = np.where(taken, rank, np.nan)

    def reset(self, which: Flags) -> None:
        """Begin anew where an alarm was given."""
        self._sums[which], self._seen[which], self._due[which] = 0.0, 0.0, 0.0

    def _draw(self, look: int) -> Array:
        """How ties are split: the detector's own hash of series, direction and start."""
        start = START + timedelta(hours=float(self.later.hours[look]))
        end = f"\0{'rises' if self.sign > 0 else 'falls'}\0{start.isoformat()}"
        raw = [hashlib.sha256((name + end).encode()).digest()[:8] for name in self.names]
        return np.array([((int.from_bytes(each, "big") >> 11) + 0.5) / (1 << 53) for each in raw])


@dataclass(frozen=True)
class Setting:
    """The threshold, the direction (1: rises, -1: falls), whether the series is a rate, and the effect gate."""

    limit: float
    sign: int = 1
    rate: bool = True
    gate: float = 0.1


def rank_alarms(base: Looks, later: Looks, names: list[str], setting: Setting) -> Flags:
    """Where the rank e-SR pages, its effect gate passed; a refused page keeps its evidence."""
    batch = RankBatch(fit(base, setting.rate), later, names, setting.sign)
    found = np.zeros(later.means.shape, dtype=bool)
    for look in range(len(later.hours)):
        batch.step(look)
        moved = setting.sign * (batch.ratio - 1) >= setting.gate
        found.T[look] = (batch.evidence >= setting.limit) & moved
        batch.reset(found[:, look])
    return found


def betting_alarms(base: Looks, later: Looks, sign: int, limit: float) -> Flags:
    """Where betting on the means of looks pages: against the 97.5 % bound of the baseline's mean."""
    means = np.where(base.counts > 0, base.means, np.nan)
    count = (base.counts > 0).sum(axis=1)
    wide = student.ppf(0.975, count - 1) * np.nanstd(means, axis=1, ddof=1) / np.sqrt(count)
    null = np.nanmean(means, axis=1) + sign * wide
    bets = sign * _BETS / (null if sign > 0 else 1 - null)[:, None]
    sums = np.zeros((len(null), len(_BETS)))
    found = np.zeros(later.means.shape, dtype=bool)
    for look in range(len(later.hours)):
        grown = (1 + sums) * (1 + bets * (later.means[:, look] - null)[:, None])
        sums = np.where(later.counts[:, look][:, None] > 0, grown, sums)
        found.T[look] = sums.mean(axis=1) >= limit
        sums[found[:, look]] = 0.0
    return found


def naive_alarms(base: Looks, later: Looks, sign: int, part: float = 0.2) -> Flags:
    """Where the mean of a look lies a part above (below) that of the 7 days before it."""
    counts = np.concatenate([base.counts, later.counts], axis=1)
    means = np.concatenate([base.means, later.means], axis=1)
    width = base.counts.shape[1]
    nothing = np.zeros((len(counts), 1))
    totals = [np.cumsum(np.hstack([nothing, each]), axis=1) for each in (counts * means, counts)]
    past = [each[:, width:-1] - each[:, : -width - 1] for each in totals]
    usual = past[0] / np.maximum(1, past[1])
    found: Flags = (later.counts > 0) & (sign * later.means > sign * (1 + sign * part) * usual)
    return found


def count_episodes(alarms: Flags, quiet: int) -> int:
    """Alarms that none of the `quiet` looks before them had."""
    found = np.zeros(len(alarms), dtype=int)
    last = np.full(len(alarms), -quiet - 1)
    for look in range(alarms.shape[1]):
        found += alarms[:, look] & (look - last > quiet)
        last = np.where(alarms[:, look], look, last)
    return int(found.sum())
