"""How far five pass rates can be trusted when a judge errs: bias, cover of the 95 % interval and its width.

    python benchmarks/judges/judge_correction.py [--repeats 3000] [--labels 150] [--judged 3000] [--seed 7]

Each repeat judges so many items and has people label some of them. `judge` takes the judge at its word, `people` uses
the labels alone (`corrected.classical`); `PPI++`, `Rogan-Gladen` and `by verdict` are the corrections of
`scoring/statistics/corrected_rates.py`. The cases:

* `random`: the labelled items are a random part of the judged ones; of a poor judge, a decent and a good one;
* `weighted`: items were drawn with unequal probabilities that know something of the truth, as `uncertainty` does;
* `mix shift`: the labelled items are half good, half bad, whatever the traffic is;
* `by verdict`: people labelled what the judge failed three times as often as what it passed.

`none` counts repeats in which a method had no answer; `differs` is how often `selection_shift` saw that the labelled
items are no random part of the judged ones, which is 5 % by chance.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.scoring.statistics.agreement import measure_agreement
from shared.scoring.statistics.corrected_rates import (
    JudgedSample,
    ppi_rate,
    rogan_gladen,
    selection_shift,
    stratified_rate,
    uncorrected_rate,
)
from shared.scoring.statistics.hajek import hajek, wilson

Floats = NDArray[np.float64]
METHODS = ("judge", "people", "PPI++", "Rogan-Gladen", "by verdict")


@dataclass(frozen=True)
class Case:
    """A judge (share of good items it passes, and of bad ones), the traffic's share of good, how labels are chosen."""

    name: str
    passes_good: float = 0.97
    passes_bad: float = 0.5
    truth: float = 0.8
    chosen: str = "at random"
    weighted: bool = False


CASES = (
    Case("random, poor judge"),
    Case("random, decent judge", 0.93, 0.3),
    Case("random, good judge", 0.97, 0.05),
    Case("weighted, poor judge", weighted=True),
    Case("weighted, good judge", 0.97, 0.05, weighted=True),
    Case("mix shift, poor judge", chosen="half good"),
    Case("mix shift, good judge", 0.97, 0.05, chosen="half good"),
    Case("by verdict, poor judge", chosen="by verdict"),
)


@dataclass
class Tally:
    """What one method did over the repeats."""

    errors: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    hits: int = 0

    def add(self, found: tuple[float, float, float], truth: float) -> None:
        """Count one repeat."""
        rate, low, high = found
        self.errors.append(rate - truth)
        self.widths.append(high - low)
        self.hits += low <= truth <= high


def drawn(case: Case, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Truths and inclusion probabilities of `count` judged items; where weighted, bad items are drawn more often."""
    if not case.weighted:
        return (rng.random(count) < case.truth).astype(float), np.full(count, 0.1)
    risk = rng.beta(1.0, 1.0 / (1.0 - case.truth) - 1.0, 40 * count)  # mean: the share of bad items
    chance = 0.02 + 0.2 * risk
    taken = np.flatnonzero(rng.random(len(risk)) < chance)[:count]
    return (rng.random(len(taken)) >= risk[taken]).astype(float), chance[taken]


def picked(case: Case, truth: Floats, judge: Floats, labels: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the items people label."""
    odds = np.ones(len(truth))
    if case.chosen == "half good":
        odds = np.where(truth == 1, 1.0 / max(1.0, truth.sum()), 1.0 / max(1.0, len(truth) - truth.sum()))
    elif case.chosen == "by verdict":
        odds = np.where(judge == 0, 3.0, 1.0)
    places = rng.choice(len(truth), labels, replace=False, p=odds / odds.sum())
    mask = np.zeros(len(truth), dtype=bool)
    mask[places] = True
    return mask


def repeat(case: Case, judged: int, labels: int, rng: np.random.Generator) -> tuple[dict[str, tuple[float, ...]], bool]:
    """The estimates of one repeat with their bounds, and whether the labelled items were seen to differ."""
    truth, pi = drawn(case, judged + labels, rng)
    judge = (rng.random(len(truth)) < np.where(truth == 1, case.passes_good, case.passes_bad)).astype(float)
    mask = picked(case, truth, judge, labels, rng)
    labelled, rest = JudgedSample(judge[mask], pi[mask], truth[mask]), JudgedSample(judge[~mask], pi[~mask])
    alone = hajek(judge, pi)
    agreement = measure_agreement(judge[mask], truth[mask], pi[mask])
    assert agreement is not None
    corrected = rogan_gladen(judge, agreement, pi)
    found: dict[str, tuple[float, ...]] = {
        "judge": (alone.mean, *wilson(alone.mean, alone.effective_n)),
        "people": uncorrected_rate(truth[mask], pi[mask]),
        "PPI++": ppi_rate(labelled, rest)[:3],
    }
    if corrected is not None:
        found["Rogan-Gladen"] = corrected[:3]
    stratified = stratified_rate(labelled, rest)
    if stratified is not None:
        found["by verdict"] = stratified[:3]
    away = selection_shift(labelled, rest)
    return found, away is not None and not away.low <= 0.0 <= away.high


def main() -> None:
    """Run the simulation and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("repeats", 3000), ("labels", 150), ("judged", 3000), ("seed", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    started, rng = time.perf_counter(), np.random.default_rng(given.seed)
    print(f"{given.labels} labels, {given.judged:,} judged items more, {given.repeats:,} repeats, truth .80")
    print(f"{'case':24} {'method':13} {'bias':>7}  cover  width  none  differs")
    for case in CASES:
        tallies = {name: Tally() for name in METHODS}
        differs = 0
        for _ in range(given.repeats):
            found, seen = repeat(case, given.judged, given.labels, rng)
            differs += seen
            for name, (rate, low, high) in found.items():
                tallies[name].add((rate, low, high), case.truth)
        for name, tally in tallies.items():
            n = len(tally.errors)
            figures = f"{np.mean(tally.errors):+.4f}  {tally.hits / n:5.3f}  {np.mean(tally.widths):.3f}"
            print(f"{case.name:24} {name:13} {figures}  {given.repeats - n:4}  {differs / given.repeats:7.3f}")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
