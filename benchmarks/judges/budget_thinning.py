"""Does a budget that is kept by thinning leave the estimates unbiased, and is it kept?

Items whose cost goes with their score (long answers cost more and fail more often), of which the stored order may be
any or the worst (the long ones last), with a budget for a part of those that are drawn. What is known of the costs
beforehand is right, or five times too much, as token counts with the longest answers are. For each, over many runs:
how far the estimate of the pass rate is off on average, and how often its 95 % interval holds the truth, for

  thin          each page is thinned by what is left, the estimate weighted by each item's chance (what Trueline does)
  thin, naive   the same items, all weighted alike
  stop          what was scored in the stored order when the money ran out (why Trueline gives no estimate then)

    python benchmarks/judges/budget_thinning.py [--runs 2000]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from random import Random

from shared.core.counts import RemainingBudget
from shared.core.records import DatasetItem
from shared.core.results import Decision, MetricRef, MetricScore
from shared.core.state.claims import SampledItem
from shared.monitoring.sampling.budget_thinning import keep_rate, limit_rate_drop, page_size, pilot_size, thin_page
from shared.scoring.statistics.estimates import EstimateBuilder

CONCURRENT = 20
LONGEST = 3.0  # times what a call costs is reserved for it
REF = MetricRef("passes", "simulated", "1", "")


@dataclass(frozen=True)
class Case:
    """A simulated item: what judging it costs, whether it passes, and its stratum."""

    cost: float
    passes: float
    stratum: str


@dataclass(frozen=True)
class Setting:
    """One row of the table: the draw, the stored order, the part that there is money for, and what was foreseen."""

    stratified: bool
    long_last: bool
    share: float
    foreseen: float

    def __str__(self) -> str:
        draw = "stratified" if self.stratified else "simple random"
        order = "long ones last" if self.long_last else "any order"
        return f"{draw}, {order}, money for {self.share:.0%}, costs foreseen {self.foreseen:g} times too high"


@dataclass
class Outcome:
    """What one way of scoring has led to, over all runs."""

    errors: list[float]
    covered: int = 0
    used: list[float] = field(default_factory=list)
    ended: int = 0

    def line(self, name: str, runs: int) -> str:
        """Bias with its standard error, coverage and the share of runs that ended early."""
        n = max(1, len(self.errors))
        mean = sum(self.errors) / n
        spread = math.sqrt(sum((each - mean) ** 2 for each in self.errors) / max(1, n - 1))
        bias = f"{100 * mean:+7.2f} ± {100 * spread / math.sqrt(n):.2f}"
        used = f", of the money used {sum(self.used) / len(self.used):5.1%}" if self.used else ""
        return (
            f"  {name:12} bias {bias} points, interval holds {self.covered / n:6.1%}, "
            f"out of money {self.ended / runs:6.1%}{used}"
        )


def traffic(count: int, rng: Random, long_last: bool) -> list[Case]:
    """Items with log-normal costs; the dearer, the less likely to pass."""
    costs = [rng.lognormvariate(0.0, 0.8) for _ in range(count)]
    if long_last:
        costs.sort(key=lambda cost: cost * rng.lognormvariate(0.0, 0.7))
    return [Case(cost, float(rng.random() < 1 / (1 + cost)), "long" if cost > 1 else "short") for cost in costs]


def drawn_items(cases: Sequence[Case], share: float, rng: Random, stratified: bool) -> list[SampledItem]:
    """A draw of the cases: a simple random sample, or one from each stratum, the long ones twice as likely."""
    groups: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        groups.setdefault(case.stratum if stratified else "", []).append(place)
    found: dict[int, SampledItem] = {}
    for stratum, places in sorted(groups.items()):
        n = max(2, round(len(places) * min(1.0, share * (1.5 if stratum == "long" else 1.0))))
        for place in rng.sample(places, n):
            decision = Decision(str(place), True, n / len(places), "stratified" if stratified else "random", stratum)
            found[place] = SampledItem(DatasetItem(id=str(place)), decision)
    return [found[place] for place in sorted(found)]


class Run:
    """One run that keeps its budget by thinning; `foreseen` is what an item was expected to cost."""

    def __init__(self, cases: Sequence[Case], budget: float, foreseen: float, at_most: bool) -> None:
        self.cases, self.budget, self.foreseen, self.at_most = cases, budget, foreseen, at_most
        self.done: list[SampledItem] = []
        self.flying: list[SampledItem] = []
        self.spent = self.squares = self.largest = 0.0

    def score(self, items: Sequence[SampledItem], rng: Random) -> list[SampledItem] | None:
        """The items that it scores, with their chances; None when the money ran out all the same."""
        waiting = list(items)
        rng.shuffle(waiting)
        first: float | None = None
        while waiting:
            while not (whole := pilot_size([self.purse()], self.begun, len(self.done))) and whole == 0 and self.flying:
                self.settle()
            page = waiting[: whole or page_size(len(waiting))]
            share = (
                1.0
                if whole
                else limit_rate_drop(keep_rate([self.purse()], self.begun, len(self.done), len(waiting)), first)
            )
            first = share if first is None and not whole else first
            if self.budget <= self.spent or share <= 0:
                return None
            if not all(self.begin(each) for each in (thin_page(page, share, rng)[0] if share < 1 else page)):
                return None
            del waiting[: len(page)]
        return [*self.done, *self.flying]

    @property
    def begun(self) -> int:
        return len(self.done) + len(self.flying)

    @property
    def reserved(self) -> float:
        return sum(LONGEST * self.cost(each) for each in self.flying)

    def cost(self, drawn: SampledItem) -> float:
        return self.cases[int(drawn.item.id)].cost

    def purse(self) -> RemainingBudget:
        left = self.budget - self.spent
        calls, guessed = len(self.done), self.at_most
        return RemainingBudget(
            left, self.reserved, self.largest, self.spent, self.squares, calls, self.foreseen, guessed
        )

    def begin(self, drawn: SampledItem) -> bool:
        """Reserve and begin a call; it waits for others to settle, and is refused when none is left to wait for."""
        most = LONGEST * self.cost(drawn)
        self.largest = max(self.largest, most)
        while self.flying and (len(self.flying) >= CONCURRENT or self.spent + self.reserved + most > self.budget):
            self.settle()
        self.flying.append(drawn)
        return self.spent + self.reserved <= self.budget

    def settle(self) -> None:
        """The call that has been under way for longest comes back."""
        first = self.flying.pop(0)
        self.done.append(first)
        self.spent += self.cost(first)
        self.squares += self.cost(first) ** 2


def affordable(cases: Sequence[Case], items: Sequence[SampledItem], budget: float) -> list[SampledItem]:
    """The items that are scored before the money runs out."""
    found: list[SampledItem] = []
    for each in items:
        budget -= cases[int(each.item.id)].cost
        if budget < 0:
            break
        found.append(each)
    return found


def record(outcome: Outcome, scored: Sequence[SampledItem], cases: Sequence[Case], weighted: bool) -> None:
    """Compare one run's estimate with the truth of its traffic."""
    builder = EstimateBuilder({"passes": (0.0, 1.0)}, population="traffic" if weighted else "process")
    for each in scored:
        passes = cases[int(each.item.id)].passes
        decision = each.decision if weighted else Decision(each.item.id, True, 1.0, "all")
        builder.add(MetricScore(REF, passes, passes > 0.5, 0.5), decision)
    found = builder.build()
    truth = sum(case.passes for case in cases) / len(cases)
    if not found or found[0].mean is None or found[0].mean_low is None or found[0].mean_high is None:
        return
    outcome.errors.append(found[0].mean - truth)
    outcome.covered += found[0].mean_low <= truth <= found[0].mean_high


def compare(runs: int, setting: Setting) -> list[str]:
    """The three ways, over many runs of 2,000 items of which about half are drawn."""
    thin, naive, stop = Outcome([]), Outcome([]), Outcome([])
    for number in range(runs):
        rng = Random(f"{number} {setting}")
        cases = traffic(2000, rng, setting.long_last)
        items = drawn_items(cases, 0.5, rng, setting.stratified)
        need = sum(cases[int(each.item.id)].cost for each in items)
        budget = setting.share * need
        run = Run(cases, budget, setting.foreseen * need / len(items), setting.foreseen > 1)
        scored = run.score(items, rng)
        if scored is None:
            thin.ended += 1
        else:
            record(thin, scored, cases, weighted=True)
            thin.used.append(sum(cases[int(each.item.id)].cost for each in scored) / budget)
            record(naive, scored, cases, weighted=False)
        stop.ended += 1
        record(stop, affordable(cases, items, budget), cases, weighted=False)
    return [thin.line("thin", runs), naive.line("thin, naive", runs), stop.line("stop", runs)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    for drawn in product((False, True), (False, True), (0.2, 0.6), (1.0, 5.0)):
        setting = Setting(*drawn)
        print(f"{setting} ({runs:,} runs)")
        print("\n".join(compare(runs, setting)), flush=True)


if __name__ == "__main__":
    main()
