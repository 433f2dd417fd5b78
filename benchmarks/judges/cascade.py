"""What a cascade costs and whether its aggregate holds: bias and cover of the 95 % interval, and calls saved.

    PYTHONPATH=src python benchmarks/judges/cascade.py [--repeats 2000] [--items 300] [--audit 0.1] [--seed 7]

The judge finds 70 % of the answers good. Three cheap metrics stand before it, all biased (they call bad answers good
more often than the other way round): `poor` is right on 80 % of all items and hardly knows where it is wrong, `fair`
is right on 80 % and unsure where it is wrong, `good` is right on 90 % and unsure where it is wrong. Compared are:

    all          the judge on every item
    cascade      the judge in the band and by chance; the difference estimator (`scoring/statistics/two_phase.py`)
    naive        the same scores, as a plain mean
    random part  the judge on a random part of the items, as many as the cascade judged

`ratio` is the width of the interval to that of `all`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.core.results import Decision, Estimate, MetricRef, MetricScore
from shared.scoring.statistics.estimates import EstimateBuilder

Floats = NDArray[np.float64]
REF = MetricRef("judged", "cascade", "1", "")
TRUE_RATE = 0.7
BAND = (0.3, 0.7)


@dataclass(frozen=True)
class Cheap:
    """A cheap metric: its share of errors on good and on bad answers, and how often it is unsure of an error and of
    a right value.
    """

    wrong_on_good: float
    wrong_on_bad: float
    unsure_when_wrong: float
    unsure_when_right: float

    def values(self, good: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
        """Values in [0, 1]; from 0.5 on it says good, within the band it is unsure."""
        wrong = rng.random(len(good)) < np.where(good, self.wrong_on_good, self.wrong_on_bad)
        unsure = rng.random(len(good)) < np.where(wrong, self.unsure_when_wrong, self.unsure_when_right)
        depth = np.where(unsure, rng.uniform(0.0, 0.19, len(good)), rng.uniform(0.21, 0.5, len(good)))
        return np.where(good ^ wrong, 0.5 + depth, 0.5 - depth)


CHEAP: Mapping[str, Cheap] = {
    "poor": Cheap(0.05, 0.55, 0.35, 0.25),
    "fair": Cheap(0.05, 0.55, 0.8, 0.2),
    "good": Cheap(0.02, 0.287, 0.9, 0.15),
}


@dataclass
class Outcome:
    """What came of one way to estimate, over the repeats."""

    means: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    covered: int = 0
    covered_rate: int = 0
    calls: list[int] = field(default_factory=list)

    def add(self, found: Estimate, truth: tuple[float, float], calls: int) -> None:
        """Take one estimate against the true mean and pass rate."""
        assert found.mean is not None and found.mean_low is not None and found.mean_high is not None
        assert found.pass_rate is not None and found.pass_low is not None and found.pass_high is not None
        self.means.append(found.mean - truth[0])
        self.rates.append(found.pass_rate - truth[1])
        self.widths.append(found.pass_high - found.pass_low)
        self.covered += found.mean_low <= truth[0] <= found.mean_high
        self.covered_rate += found.pass_low <= truth[1] <= found.pass_high
        self.calls.append(calls)


def estimated(rows: list[MetricScore]) -> Estimate:
    """The estimate as a run makes it; every item was drawn with probability 0.2."""
    builder = EstimateBuilder({"judged": (0.0, 1.0)})
    for number, row in enumerate(rows):
        builder.add(row, Decision(str(number), True, 0.2, "random"))
    return builder.build()[0]


def row(value: float, proxy: float | None = None, chance: float | None = None) -> MetricScore:
    """One item's score against the threshold 0.5."""
    return MetricScore(REF, value, value >= 0.5, 0.5, proxy=proxy, chance=chance)


def one_repeat(
    cheap: Cheap,
    items: int,
    audit: float,
    rng: np.random.Generator,
    out: Mapping[str, Outcome],
    truth: tuple[float, float],
) -> None:
    """New traffic, judged in the four ways."""
    good = rng.random(items) < TRUE_RATE
    judge = np.where(good, rng.beta(8, 2, items) * 0.5 + 0.5, rng.beta(2, 8, items) * 0.5)
    proxy = cheap.values(good, rng)
    chance = np.where((proxy >= BAND[0]) & (proxy <= BAND[1]), 1.0, audit)
    asked = rng.random(items) < chance
    shown = np.where(asked, judge, proxy)
    calls = int(asked.sum())
    triples = list(zip(shown.tolist(), proxy.tolist(), chance.tolist(), strict=True))
    out["all"].add(estimated([row(value) for value in judge.tolist()]), truth, items)
    out["cascade"].add(estimated([row(*each) for each in triples]), truth, calls)
    out["naive"].add(estimated([row(value) for value, _, _ in triples]), truth, calls)
    part = rng.permutation(items)[: max(2, calls)]
    out["random part"].add(estimated([row(value) for value in judge[part].tolist()]), truth, len(part))


def true_values() -> tuple[float, float]:
    """The judge's mean and pass rate over the process: Beta(8, 2) / 2 + 0.5 for good, Beta(2, 8) / 2 for bad ones."""
    return TRUE_RATE * (0.5 + 0.5 * 0.8) + (1 - TRUE_RATE) * 0.5 * 0.2, TRUE_RATE


def report(name: str, out: Mapping[str, Outcome], repeats: int, say: Callable[[str], None] = print) -> None:
    """One line per way."""
    base = float(np.mean(out["all"].widths))
    for way, found in out.items():
        se = float(np.std(found.means)) / repeats**0.5
        say(
            f"{name:6} {way:12} {np.mean(found.calls):6.0f} {np.mean(found.means):+9.4f} ±{1.96 * se:.4f} "
            f"{found.covered / repeats:7.3f} {np.mean(found.rates):+9.4f} {found.covered_rate / repeats:7.3f} "
            f"{np.mean(found.widths) / base:7.2f}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--audit", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print("cheap  way           calls  mean bias           cover  rate bias   cover   ratio")
    for name, cheap in CHEAP.items():
        rng = np.random.default_rng(options.seed)
        out = {way: Outcome() for way in ("all", "cascade", "naive", "random part")}
        for _ in range(options.repeats):
            one_repeat(cheap, options.items, options.audit, rng, out, true_values())
        report(name, out, options.repeats)


if __name__ == "__main__":
    main()
