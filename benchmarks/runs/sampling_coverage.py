"""What each sampling strategy costs in precision, and whether the 95 % intervals hold: bias, RMSE and cover.

    python benchmarks/runs/sampling_coverage.py [--repeats 1000] [--requests 10000] [--labels 300] [--seed 7]

Each repeat makes new traffic (three channels, an error rate that drifts upwards over a fortnight, an uncertainty that
knows something of the errors), draws from it with the strategies of `monitoring/sampling/strategies.py` and estimates
with `scoring/statistics/estimates.py`. Two things are estimated: the wrong-rate (0/1) and the mean of a skewed score in
[0, 1]. Cover is counted against both populations: `process` is the rate behind the traffic, `traffic` that of the very
requests made. `plain` ignores the recorded probabilities, as a dashboard would: it is here to show the difference.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.core.results import Candidate, Decision, Estimate, Population
from shared.monitoring.sampling.strategies import (
    MostRecent,
    RandomSample,
    SamplingParams,
    Stratified,
    TemporalDecay,
    Uncertainty,
)
from shared.scoring.statistics.estimates import MetricContext, MetricRows, estimate_metric

Floats = NDArray[np.float64]
T = TypeVar("T")

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 14.0
CHANNELS = {"mail": (0.5, -0.6), "chat": (0.35, 0.2), "phone": (0.15, 1.0)}  # share of the traffic, log-odds of wrong
POPULATIONS: tuple[Population, ...] = ("process", "traffic")


@dataclass(frozen=True)
class Traffic:
    """Requests as the sampler sees them, and what only a judge would know: wrong (0/1) and a score in [0, 1]."""

    pool: list[Candidate]
    wrong: Floats
    score: Floats


def make_features(count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Floats, Floats, Floats]:
    """Channel, age of the fortnight in [0, 1], uncertainty in [0, 1] and probability of being wrong, per request."""
    shares = [share for share, _ in CHANNELS.values()]
    effects = np.array([effect for _, effect in CHANNELS.values()])
    channel = rng.choice(len(shares), size=count, p=shares)
    when, unsure = rng.random(count), rng.beta(1.5, 4.0, count)
    logit = -3.22 + effects[channel] + 0.75 * when + 4.8 * unsure
    return channel, when, unsure, 1.0 / (1.0 + np.exp(-logit))


def make_traffic(count: int, rng: np.random.Generator) -> Traffic:
    """`count` requests drawn anew from the process."""
    channel, when, unsure, risk = make_features(count, rng)
    wrong = (rng.random(count) < risk).astype(np.float64)
    score = 1.0 - rng.beta(1.0 + 4.0 * risk, 6.0)
    names = list(CHANNELS)
    seconds = when * DAYS * 86400.0
    columns = zip(channel.tolist(), seconds.tolist(), unsure.tolist(), strict=True)
    pool = [
        Candidate(f"r{place}", START + timedelta(seconds=late), names[which], weight)
        for place, (which, late, weight) in enumerate(columns)
    ]
    return Traffic(pool, wrong, score)


def true_means(rng: np.random.Generator) -> tuple[float, float]:
    """The process's wrong-rate and mean score, by averaging four million expectations (error about .0001)."""
    risk = make_features(4_000_000, rng)[3]
    alpha = 1.0 + 4.0 * risk
    return float(risk.mean()), float((1.0 - alpha / (alpha + 6.0)).mean())


@dataclass
class Tally:
    """Errors and hits of one strategy with one estimator, for one quantity."""

    errors: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(POPULATIONS, 0))

    def add(self, estimates: Mapping[Population, Estimate], truths: Mapping[Population, float]) -> None:
        """Count one repeat."""
        first = estimates["process"]
        if first.mean is None or first.mean_low is None or first.mean_high is None:
            raise RuntimeError(f"nothing was estimated from {first.n} labels; take more")
        self.errors.append(first.mean - truths["traffic"])
        self.widths.append(first.mean_high - first.mean_low)
        for population, found in estimates.items():
            low, high = found.mean_low or 0.0, found.mean_high or 0.0
            self.hits[population] += low <= truths[population] <= high

    def row(self) -> str:
        """Bias, RMSE, cover of the process, cover of the traffic, mean width."""
        count = len(self.errors)
        bias, rmse = math.fsum(self.errors) / count, math.sqrt(math.fsum(each * each for each in self.errors) / count)
        covers = "  ".join(f"{self.hits[each] / count:7.3f}" for each in POPULATIONS)
        return f"{bias:+.4f}  {rmse:.4f}  {covers}  {math.fsum(self.widths) / count:.4f}"


def drawn_by(rule: SamplingParams, traffic: Traffic, rng: Random) -> tuple[NDArray[np.intp], list[Decision]]:
    """Places and decisions of the drawn requests."""
    decisions = rule.draw(traffic.pool, rng).decisions
    places = [place for place, decision in enumerate(decisions) if decision.drawn]
    return np.array(places, dtype=np.intp), [decisions[place] for place in places]


def top_uncertain(count: int, traffic: Traffic, rng: Random) -> tuple[NDArray[np.intp], list[Decision]]:
    """The `count` most uncertain: no strategy of ours, shown as a warning."""
    order = sorted(range(len(traffic.pool)), key=lambda place: -(traffic.pool[place].weight or 0.0))[:count]
    return np.array(order, dtype=np.intp), [Decision(traffic.pool[each].id, True, None, "top-k") for each in order]


Sampler = Callable[[Traffic, Random], tuple[NDArray[np.intp], list[Decision]]]


def samplers(labels: int, requests: int) -> dict[str, Sampler]:
    """Every strategy under its name in the table."""
    spreads = {"mail": 0.33, "chat": 0.43, "phone": 0.49}
    rules: dict[str, SamplingParams] = {
        "random, n": RandomSample(n=labels),
        "random, rate": RandomSample(rate=labels / requests),
        "random, rate and cap": RandomSample(rate=2 * labels / requests, cap=labels),
        "stratified, proportional": Stratified(field="metadata.channel", n=labels),
        "stratified, neyman": Stratified(field="metadata.channel", n=labels, allocation="neyman", spreads=spreads),
        "temporal decay": TemporalDecay(n=labels, half_life_hours=48),
        "temporal decay, floor 0": TemporalDecay(n=labels, half_life_hours=48, floor=0.0),
        "uncertainty": Uncertainty(n=labels),
        "most recent": MostRecent(n=labels),
    }
    found: dict[str, Sampler] = {name: partial(drawn_by, rule) for name, rule in rules.items()}
    return found | {"top-k uncertain": partial(top_uncertain, labels)}


def estimated(values: Sequence[float], decisions: Sequence[Decision], weighted: bool) -> dict[Population, Estimate]:
    """Both populations' estimates; unweighted, all requests count the same, as in a simple random sample."""
    same = 1e-6  # any probability that is equal for all gives the plain mean
    chances = [each.probability if weighted and each.probability else same for each in decisions]
    codes: dict[str, int] = {}
    groups = [codes.setdefault(each.stratum, len(codes)) for each in decisions] if weighted else None
    rows, facts = MetricRows(values, chances, None, groups), MetricContext(low=0.0, high=1.0)
    return {each: estimate_metric("", rows, facts, each) for each in POPULATIONS}


def salted(rule_sampler: Sampler, repeat: int) -> Sampler:
    """The sampler with the repeat's own salt, where it hashes: one salt gives one sample of the same ids."""
    rule = rule_sampler.args[0] if isinstance(rule_sampler, partial) else None
    if not isinstance(rule, RandomSample) or rule.rate is None:
        return rule_sampler
    return partial(drawn_by, rule.model_copy(update={"salt": f"salt {repeat}"}))


def main() -> None:
    """Run the simulation and print its two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("repeats", 1000), ("requests", 10_000), ("labels", 300), ("seed", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    started, rng = time.perf_counter(), np.random.default_rng(given.seed)
    truths = true_means(rng)
    tallies: dict[tuple[str, bool], tuple[Tally, Tally]] = {}
    for repeat in range(given.repeats):
        traffic = make_traffic(given.requests, rng)
        for name, sampler in samplers(given.labels, given.requests).items():
            places, decisions = salted(sampler, repeat)(traffic, Random(f"{given.seed} {name} {repeat}"))
            for weighted in (True, False) if decisions[0].probability else (False,):
                pair = tallies.setdefault((name, weighted), (Tally(), Tally()))
                for tally, truth, column in zip(pair, truths, (traffic.wrong, traffic.score), strict=True):
                    found = estimated(column[places].tolist(), decisions, weighted)
                    tally.add(found, {"process": truth, "traffic": float(column.mean())})
    heading = f"{'sample':26} {'estimator':9} {'bias':>7}  {'RMSE':6}  process  traffic  width"
    for which, title in enumerate((f"wrong-rate, truth {truths[0]:.4f}", f"score, truth {truths[1]:.4f}")):
        print(f"\n{title}: {given.requests:,} requests, {given.labels:,} labels, {given.repeats:,} repeats\n{heading}")
        for (name, weighted), pair in tallies.items():
            print(f"{name:26} {'hajek' if weighted else 'plain':9} {pair[which].row()}")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
