"""A family of twenty series that page together: false episodes in a month, and how soon a change in some is seen.

    python benchmarks/alerts/families.py [--months 50] [--series 20] [--items 50]

Two rules on the same series: the mean of their evidence reaches A (`choose_alarms` of `src/`, which also names the
series), or, with all items together as a further series, the mean or that one reaches 2A each. A = 5 x looks in 30
days for all of them. Delays in hours, median / 95th percentile; "found" is how often the series named first is one
that changed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.alerts.alert_rules import BASELINE, JUMP, MONTH, Cell, describe_delay  # noqa: E402  # after the path
from benchmarks.alerts.batch import Flags, RankBatch, count_episodes, fit  # noqa: E402  # after the path
from benchmarks.alerts.traffic import KINDS, Array, Looks, simulate_rates  # noqa: E402  # after the path
from shared.scoring.sequential.rank_detector import choose_alarms, threshold  # noqa: E402  # after the path


@dataclass(frozen=True)
class Family:
    """How many series, how many of them change, from 0.10 to what."""

    series: int
    items: float
    changed: int = 0
    change: float = 0.1
    kind: str = "flat"


def pool(looks: Looks, series: int) -> Looks:
    """The items of all series of a month together."""
    counts = looks.counts.reshape(-1, series, len(looks.hours))
    means = looks.means.reshape(counts.shape)
    squares = looks.squares.reshape(counts.shape)
    total = counts.sum(axis=1)
    mean = (counts * means).sum(axis=1) / np.maximum(1, total)
    about = squares.sum(axis=1) + (counts * (means - mean[:, None]) ** 2).sum(axis=1)
    return Looks(looks.hours, total, mean, about)


def simulate(family: Family, months: int) -> tuple[RankBatch, RankBatch]:
    """The evidence of the series and of all items together, for rises."""
    hours = np.arange(0.0, BASELINE + MONTH)
    rng = np.random.default_rng([family.series, family.changed, round(1000 * family.change)])
    rates: Array = np.full((months, family.series, len(hours)), 0.1)
    rates[:, : family.changed, BASELINE + JUMP :] = family.change
    looks = simulate_rates(rng, KINDS[family.kind], rates.reshape(-1, len(hours)), family.items, hours)
    found = []
    for each, name in ((looks, "series"), (pool(looks, family.series), "all")):
        names = [f"{name} {row}" for row in range(len(each.counts))]
        found.append(RankBatch(fit(each.between(0, BASELINE), rate=True), each.between(BASELINE, len(hours)), names))
    return found[0], found[1]


def run(family: Family, months: int, together: bool) -> tuple[Flags, list[list[int]]]:
    """When each month's family pages, and the series named at its first page after the change."""
    batch, pooled = simulate(family, months)
    limit = threshold(MONTH, 0.1) * (2 if together else 1)
    pages = np.zeros((months, MONTH), dtype=bool)
    named: list[list[int]] = [[] for _ in range(months)]
    for look in range(MONTH):
        batch.step(look)
        pooled.step(look)
        evidence = batch.evidence.reshape(months, family.series)
        moved = batch.ratio.reshape(evidence.shape) >= 1.1
        late = (pooled.evidence >= limit) & (pooled.ratio >= 1.1) & together
        reset = np.zeros(evidence.shape, dtype=bool)
        for month in range(months):
            chosen = [each for each in choose_alarms(evidence[month].tolist(), limit) if moved[month, each]]
            pages[month, look] = bool(chosen) or late[month]
            reset[month, chosen] = True
            if look >= JUMP and not named[month]:
                named[month] = chosen
        batch.reset(reset.ravel())
        pooled.reset(late)
    return pages, named


def main() -> None:
    """Print both rules."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--months", type=int, default=50)
    options.add_argument("--series", type=int, default=20)
    options.add_argument("--items", type=float, default=50)
    chosen = options.parse_args()
    count, items = chosen.series, chosen.items
    print(f"{count} series at {items:g} an hour, {chosen.months} months")
    for together, rule in ((False, "mean of the evidence at A"), (True, "mean or all items, each at 2A")):
        print(rule)
        for kind in ("flat", "season", "rho .02"):
            pages, _ = run(Family(count, items, kind=kind), chosen.months, together)
            print(f"  {kind}: {count_episodes(pages, 0) / chosen.months:.2f} false episodes in 30 days", flush=True)
        for changed, change in ((1, 0.15), (1, 0.2), (count, 0.12)):
            pages, named = run(Family(count, items, changed, change), chosen.months, together)
            right = [each[0] < changed for each in named if each]
            share = f"{100 * np.mean(right):.0f} %" if right else "-"
            print(f"  {changed} to {change}: {describe_delay([pages], Cell(items))} h, found {share}", flush=True)


if __name__ == "__main__":
    main()
