"""How often alert rules page for nothing, and how soon they see a change: simulated months of one series.

    python benchmarks/alerts/alert_rules.py [--months 200] [--items 5 50 1000] [--check 3]

The rank e-SR at its default budget (A = 5 x looks in 30 days) beside betting on the means of looks (A = looks in 30
days) and the usual rule, "20 % above the mean of the last 7 days", looked at every hour. Each month has a baseline of
7 days and then 30 days: without a change under each kind of traffic (`traffic.py`), or with a jump after 7 of them.
Delays in hours, median / 95th percentile, "-" where it is not seen in the 23 days left. The rules run on arrays
(`batch.py`); the first `--check` months of each cell run through the detector of `src/` too, and every alarm must be
the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.alerts.batch import (  # noqa: E402  # after the path
    QUIET,
    Flags,
    Setting,
    betting_alarms,
    count_episodes,
    naive_alarms,
    rank_alarms,
)
from benchmarks.alerts.traffic import (  # noqa: E402  # after the path
    KINDS,
    START,
    Array,
    Looks,
    Traffic,
    season,
    simulate_rates,
    simulate_scores,
)
from shared.scoring.sequential.rank_detector import RankDetector, threshold  # noqa: E402  # after the path
from shared.scoring.sequential.seasonal_baseline import Look, fit_baseline  # noqa: E402  # after the path

BASELINE, MONTH, JUMP = 7 * 24, 30 * 24, 7 * 24
CHUNK = 100  # months at once
RULES = ("naive", "betting", "rank")


@dataclass
class Check:
    """The detector of `src/` on some of the same months: how many agree, and what an update costs."""

    months: int
    agree: int = 0
    differ: list[str] = field(default_factory=list)
    updates: int = 0
    seconds: float = 0.0

    def run(self, base: Looks, later: Looks, names: list[str], setting: Setting, alarms: Flags) -> None:
        """Compare the alarms of the first months."""
        for month in range(min(self.months, len(names))):
            if self._alarms(looks_of(base, month), looks_of(later, month), names[month], setting) == list(
                np.flatnonzero(alarms[month])
            ):
                self.agree += 1
            else:
                self.differ.append(names[month])

    def _alarms(self, base: list[Look], later: list[Look], name: str, setting: Setting) -> list[int]:
        fitted = fit_baseline(base, rate=setting.rate)
        if fitted is None:
            return []
        detector, found = RankDetector(name, *fitted), []
        direction = "rises" if setting.sign > 0 else "falls"
        begun = time.process_time()
        for place, look in enumerate(later):
            detector.update(look)
            evidence = detector.evidence[direction]  # type: ignore[index]  # one of the two
            if evidence.value >= setting.limit and setting.sign * (evidence.ratio - 1) >= setting.gate:
                found.append(place)
                detector.reset(direction)  # type: ignore[arg-type]  # one of the two
        self.seconds += time.process_time() - begun
        self.updates += len(later)
        return found


def looks_of(looks: Looks, month: int) -> list[Look]:
    """One month as the detector of `src/` takes it."""
    columns = zip(looks.hours, looks.counts[month], looks.means[month], looks.squares[month], strict=True)
    return [Look(START + timedelta(hours=float(hour)), float(n), float(m), float(s)) for hour, n, m, s in columns]


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what the series is, and how it is watched."""

    items: float
    rate: float = 0.1
    change: float | None = None
    traffic: Traffic = KINDS["flat"]
    score: bool = False
    look: float = 1.0  # hours
    sign: int = 1
    gate: float = 0.1

    def simulate(self, rng: np.random.Generator, months: int) -> tuple[Looks, Looks]:
        """Baselines and the months after them."""
        hours = np.arange(0, BASELINE + MONTH, self.look)
        jumped = (hours >= BASELINE + JUMP) & (self.change is not None)
        means = np.tile(np.where(jumped, self.change or 0.0, self.rate), (months, 1))
        if self.score:
            found = simulate_scores(rng, means, self.items, hours)
        else:
            found = simulate_rates(rng, self.traffic, means, self.items * self.look, hours)
        first = round(BASELINE / self.look)
        return found.between(0, first), found.between(first, len(hours))


def run_cell(cell: Cell, months: int, check: Check, rules: tuple[str, ...] = RULES) -> dict[str, list[Flags]]:
    """The alarms of each rule in chunks of months."""
    found: dict[str, list[Flags]] = {rule: [] for rule in rules}
    looks = round(MONTH / cell.look)
    setting = Setting(threshold(looks, 0.1), cell.sign, not cell.score, cell.gate)
    for first in range(0, months, CHUNK):
        count = min(CHUNK, months - first)
        rng = np.random.default_rng(
            [first, round(cell.items), round(1000 * cell.rate), round(1000 * (cell.change or 0))]
        )
        base, later = cell.simulate(rng, count)
        names = [f"{cell} {first + month}" for month in range(count)]
        for rule in rules:
            if rule == "rank":
                found[rule].append(rank_alarms(base, later, names, setting))
                if first == 0:
                    check.run(base, later, names, setting, found[rule][0])
            elif rule == "betting":
                found[rule].append(betting_alarms(base, later, cell.sign, looks))
            else:
                found[rule].append(naive_alarms(base, later, cell.sign))
    return found


def describe_false(alarms: list[Flags], cell: Cell, rule: str) -> str:
    """False episodes in 30 days."""
    quiet = round(QUIET / cell.look) if rule == "naive" else 0
    return f"{sum(count_episodes(each, quiet) for each in alarms) / sum(map(len, alarms)):6.2f}"


def describe_delay(alarms: list[Flags], cell: Cell) -> str:
    """Hours from the jump to the first alarm."""
    after = np.concatenate(alarms)[:, round(JUMP / cell.look) :]
    delays: Array = np.where(after.any(axis=1), (after.argmax(axis=1) + 1) * cell.look, np.inf)
    middle, late = np.quantile(delays, [0.5, 0.95], method="higher")
    return "/".join("-" if np.isinf(each) else f"{each:g}" for each in (middle, late))


def show_false(items: list[float], months: int, check: Check) -> None:
    """The table of false episodes."""
    print(f"\nFalse episodes in 30 days, p = 0.10 ({months} months a cell)")
    print(f"{'':24}" + "".join(f"{kind:>11}" for kind in KINDS))
    for each in items:
        cells = [Cell(each, traffic=traffic) for traffic in KINDS.values()]
        found = [run_cell(cell, months, check) for cell in cells]
        for rule in RULES:
            values = [describe_false(one[rule], cell, rule) for one, cell in zip(found, cells, strict=True)]
            print(f"{each:6g} an hour, {rule:9}" + "".join(f"{value:>11}" for value in values), flush=True)


def show_delays(items: list[float], months: int, check: Check) -> None:
    """The table of delays."""
    columns = [(change, KINDS["flat"], f"to {change}") for change in (0.12, 0.15, 0.2, 0.3)]
    columns += [(change, KINDS["rho .02"], f"rho .02 {change}") for change in (0.15, 0.2)]
    print(f"\nHours from a jump from 0.10 until it is paged, median/p95 ({months} months a cell)")
    print(f"{'':24}" + "".join(f"{title:>14}" for *_, title in columns))
    for each in items:
        cells = [Cell(each, change=change, traffic=traffic) for change, traffic, _ in columns]
        found = [run_cell(cell, months, check) for cell in cells]
        for rule in RULES:
            values = [describe_delay(one[rule], cell) for one, cell in zip(found, cells, strict=True)]
            print(f"{each:6g} an hour, {rule:9}" + "".join(f"{value:>14}" for value in values), flush=True)


def show_further(months: int, check: Check) -> None:
    """Mean scores, rates near 1 with a season of their failures, looks of 15 minutes: the rank e-SR alone."""
    print(f"\nThe rank e-SR on other series ({months} months a cell)")
    for items in (5, 20, 50):
        lower = Cell(items, 0.8, 0.68, score=True, sign=-1)
        same = Cell(items, 0.8, score=True, sign=-1)
        delay = describe_delay(run_cell(lower, months, check, ("rank",))["rank"], lower)
        false = describe_false(run_cell(same, months, check, ("rank",))["rank"], same, "rank")
        print(f"  mean score .80 to .68, {items} an hour: {delay} h; false {false.strip()}", flush=True)
    for rate in (0.9, 0.98):
        swing = Traffic(lambda rng, count, hours, high=rate: (1 - (1 - high) * season(rng, count, hours)) / high)  # type: ignore[misc]  # a default argument
        for sign, name in ((1, "rises"), (-1, "falls")):
            cell = Cell(50, rate, traffic=swing, sign=sign, gate=0.0)
            false = describe_false(run_cell(cell, months, check, ("rank",))["rank"], cell, "rank")
            print(
                f"  rate {rate}, failures with season 30 %, no effect gate, {name}: false {false.strip()}", flush=True
            )
    for kind in ("flat", "rho .02"):
        short = Cell(200, traffic=KINDS[kind], look=0.25)
        line = f"  200 an hour by 15 minutes, {kind}: false "
        line += describe_false(run_cell(short, months, check, ("rank",))["rank"], short, "rank").strip()
        for change in (0.12, 0.15, 0.2):
            cell = Cell(200, change=change, traffic=KINDS[kind], look=0.25)
            line += f"; to {change} {describe_delay(run_cell(cell, months, check, ('rank',))['rank'], cell)} h"
        print(line, flush=True)


TABLES = ("false", "delays", "further")


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--months", type=int, default=200)
    options.add_argument("--items", type=float, nargs="*", default=[5, 50, 1000])
    options.add_argument("--check", type=int, default=2)
    options.add_argument("--tables", nargs="*", choices=TABLES, default=list(TABLES))
    chosen = options.parse_args()
    check = Check(chosen.check)
    if "false" in chosen.tables:
        show_false(chosen.items, chosen.months, check)
    if "delays" in chosen.tables:
        show_delays(chosen.items, chosen.months, check)
    if "further" in chosen.tables:
        show_further(chosen.months, check)
    if check.updates:
        cost = 1e6 * check.seconds / check.updates
        total = check.agree + len(check.differ)
        print(
            f"\nThe detector of src/ gave the same alarms in {check.agree} of {total} months; {cost:.0f} us an update"
        )
    if check.differ:
        sys.exit("different alarms: " + "; ".join(check.differ))


if __name__ == "__main__":
    main()
