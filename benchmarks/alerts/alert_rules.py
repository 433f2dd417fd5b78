"""How often alert rules page for nothing, and how soon they see a change: simulated months of one series by hour.

    python benchmarks/alerts/alert_rules.py [--months 200] [--items 50] [--rate 0.1] [--change 0.2] [--jobs 2]

The rank e-SR at its default budget (A = 5 x looks in 30 days) beside the usual rule, "20 % above the mean of the last 7
days", looked at every hour. Each month has a baseline of 7 days and 30 days without a change under each kind of
traffic, and a jump after another 7 days. Times in hours, median and 95th percentile; an update's cost beside them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from shared.scoring.sequential.rank_detector import RankDetector, threshold
from shared.scoring.sequential.seasonal_baseline import Look, fit_baseline

START = datetime(2026, 1, 5, tzinfo=UTC)
BASELINE, MONTH, QUIET = 7 * 24, 30 * 24, 6
JUMP = 7 * 24  # hours after the baseline
Rates = Callable[[np.random.Generator, int], np.ndarray]


def flat(rng: np.random.Generator, hours: int) -> np.ndarray:
    """The same rate every hour."""
    return np.ones(hours)


def season(rng: np.random.Generator, hours: int) -> np.ndarray:
    """A daily swing of 30 %."""
    return 1 + 0.3 * np.sin(2 * np.pi * np.arange(hours) / 24)


def correlated(rng: np.random.Generator, hours: int) -> np.ndarray:
    """Hours that depend on those before them: AR(1) with 0.8, coefficient of variation 0.2."""
    noise, found = rng.normal(size=hours), np.zeros(hours)
    for hour in range(1, hours):
        found[hour] = 0.8 * found[hour - 1] + 0.6 * noise[hour]
    return np.clip(1 + 0.2 * found, 0.05, None)


KINDS: dict[str, tuple[Rates, float]] = {
    "flat": (flat, 0.0),
    "season 30 %": (season, 0.0),
    "overdispersion .02": (flat, 0.02),
    "overdispersion .05": (flat, 0.05),
    "AR(.8) cv .2": (correlated, 0.0),
}


def simulate(rng: np.random.Generator, rates: np.ndarray, items: float, rho: float) -> tuple[np.ndarray, np.ndarray]:
    """Items and hits by hour; `rho` is the overdispersion of hours (beta-binomial)."""
    counts = rng.poisson(items, size=len(rates))
    rates = np.clip(rates, 1e-6, 1 - 1e-6)
    if rho:
        rates = rng.beta(rates * (1 / rho - 1), (1 - rates) * (1 / rho - 1))
    return counts, rng.binomial(counts, rates)


def looks_of(counts: np.ndarray, hits: np.ndarray) -> list[Look]:
    """The looks of some hours."""
    found = []
    for hour, (n, k) in enumerate(zip(counts, hits, strict=True)):
        mean = k / n if n else 0.0
        found.append(
            Look(START + timedelta(hours=hour), float(n), float(mean), float(k - n * mean * mean) if n else 0.0)
        )
    return found


def rank_alarms(looks: list[Look], name: str) -> list[int]:
    """Hours after the baseline at which the rank e-SR pages for a rise, with the effect gate of 10 %."""
    fitted = fit_baseline(looks[:BASELINE], rate=True)
    if fitted is None:
        return []
    detector = RankDetector(name, *fitted)
    limit, found = threshold(MONTH, 0.1), []
    for hour, look in enumerate(looks[BASELINE:]):
        detector.update(look)
        risen = detector.evidence["rises"]
        if risen.value >= limit and risen.ratio >= 1.1:
            found.append(hour)
            detector.reset("rises")
    return found


def naive_alarms(looks: list[Look], name: str) -> list[int]:
    """Hours at which the rate is 20 % above the mean of the last 7 days, after at least 6 hours at which it was not."""
    found, last = [], -QUIET - 1
    hits = np.cumsum([0.0, *(each.n * each.mean for each in looks)])
    counts = np.cumsum([0.0, *(each.n for each in looks)])
    for hour in range(BASELINE, len(looks)):
        usual = (hits[hour] - hits[hour - BASELINE]) / max(1.0, counts[hour] - counts[hour - BASELINE])
        if looks[hour].n > 0 and looks[hour].mean > 1.2 * usual:
            if hour - last > QUIET:
                found.append(hour - BASELINE)
            last = hour
    return found


RULES = {"rank e-SR": rank_alarms, "+20 % of 7 days": naive_alarms}


def main() -> None:
    """Print false episodes and delays."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--months", type=int, default=200)
    options.add_argument("--items", type=float, default=50)
    options.add_argument("--rate", type=float, default=0.1)
    options.add_argument("--changes", type=float, nargs="*", default=[0.12, 0.15, 0.2, 0.3])
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    print(f"{chosen.months} months, {chosen.items:g} items an hour, rate {chosen.rate:g}: false episodes in 30 days")
    updates = spent = 0.0
    for kind, (shape, rho) in KINDS.items():
        totals = dict.fromkeys(RULES, 0)
        for month in range(chosen.months):
            rng = np.random.default_rng([chosen.seed, month])
            rates = chosen.rate * shape(rng, BASELINE + MONTH)
            looks = looks_of(*simulate(rng, rates, chosen.items, rho))
            for rule, alarms in RULES.items():
                begun = time.process_time()
                totals[rule] += len(alarms(looks, f"{kind} {month}"))
                if rule == "rank e-SR":
                    spent, updates = spent + time.process_time() - begun, updates + MONTH
        print(f"  {kind:20}" + "".join(f"  {rule} {total / chosen.months:6.2f}" for rule, total in totals.items()))
    print(f"rank e-SR: {spent / updates * 1e6:.1f} microseconds of CPU a look, fit included")
    print(f"hours until a jump from {chosen.rate:g} is paged, median / 95th percentile")
    for change in chosen.changes:
        line = f"  to {change:<16g}"
        for rule, alarms in RULES.items():
            delays = []
            for month in range(chosen.months):
                rng = np.random.default_rng([chosen.seed, month, 7])
                rates = np.r_[np.full(BASELINE + JUMP, chosen.rate), np.full(MONTH - JUMP, change)]
                alarmed = alarms(looks_of(*simulate(rng, rates, chosen.items, 0.0)), f"jump {month}")
                delays.append(next((hour - JUMP + 1.0 for hour in alarmed if hour >= JUMP), np.inf))
            line += f"  {rule} {np.median(delays):4.0f} / {np.quantile(delays, 0.95, method='higher'):4.0f}"
        print(line)


if __name__ == "__main__":
    main()
