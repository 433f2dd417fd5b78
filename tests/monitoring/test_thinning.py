"""Thinning: the budget is kept, every item's chance is stored before it is scored, and the estimates stay unbiased."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.counts import BudgetUse, ModelUsage, RemainingBudget
from shared.core.errors import FatalError, OverBudget
from shared.core.records import DatasetItem
from shared.core.results import Decision, RunReport, is_thinned
from shared.core.state.claims import SampledItem
from shared.core.state.outbox import Outlet
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import Ports
from shared.monitoring.sampling.budget_thinning import keep_rate, limit_rate_drop, page_size, pilot_size, thin_page
from shared.monitoring.sampling.strategies import RandomSample
from shared.scoring.metric import bind
from shared.scoring.runner import Runner, RunnerOptions
from tests.contracts.adapters.run_states import waiting_items
from tests.monitoring.test_pipeline import NOW, STREAM, House, ListSource, items

AMOUNTS = st.floats(0, 1e6)
PURSES = st.builds(
    RemainingBudget,
    st.floats(-10, 1e6),
    AMOUNTS,
    AMOUNTS,
    AMOUNTS,
    AMOUNTS,
    st.integers(0, 1000),
    st.none() | st.floats(0, 1e4),
)


@given(PURSES, st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 10_000))
def test_a_rate_is_a_share(purse: RemainingBudget, begun: int, done: int, waiting: int) -> None:
    """In [0, 1], 0 with nothing left, and never more with less money or more items."""
    found = keep_rate([purse], begun, done, waiting)
    assert 0 <= found <= 1
    assert purse.left > 0 or found == 0
    assert keep_rate([replace(purse, left=purse.left - 1)], begun, done, waiting) <= found + 1e-9
    assert keep_rate([purse], begun, done, waiting + 1) <= found + 1e-9
    assert keep_rate([purse, replace(purse, left=purse.left / 2)], begun, done, waiting) <= found + 1e-9


def test_enough_for_all_is_not_thinned() -> None:
    """The rate is 1 with no budget, with plenty of money, and when items cost nothing."""
    assert keep_rate([], 0, 0, 100) == 1.0
    assert keep_rate([RemainingBudget(1000.0, expected=1.0)], 0, 0, 100) == 1.0
    assert keep_rate([RemainingBudget(0.001, expected=0.0)], 0, 0, 100) == 1.0
    assert 0.35 < keep_rate([RemainingBudget(50.0, expected=1.0)], 0, 0, 100) < 0.5
    assert limit_rate_drop(0.001, 0.3) == pytest.approx(0.1)
    assert (page_size(3), page_size(10_000)) == (10, 500)


def test_a_few_items_are_scored_whole_to_find_out_what_they_cost() -> None:
    """Where only an upper bound is known, and by it they take no more than half of what is left."""
    unsure = RemainingBudget(100.0, expected=5.0, at_most=True)
    assert pilot_size([unsure], 0, 0) == 10
    assert pilot_size([replace(unsure, left=99.0)], 0, 0) == 9
    assert pilot_size([replace(unsure, reserved=20.0)], 2, 0) == 6
    assert pilot_size([replace(unsure, spent=25.0)], 9, 5) == 6
    assert pilot_size([replace(unsure, spent=5.0)], 9, 5) == 10  # they cost far less than the bound
    assert pilot_size([replace(unsure, left=-1.0)], 0, 0) == 0
    assert pilot_size([unsure, RemainingBudget(8.0, expected=1.0, at_most=True)], 0, 0) == 4
    assert pilot_size([replace(unsure, at_most=False)], 0, 0) is None
    assert pilot_size([unsure], 10, 10) is None
    assert pilot_size([RemainingBudget(100.0)], 0, 0) == 10
    assert pilot_size([RemainingBudget(100.0, reserved=50.0)], 10, 0) == 0


def page(count: int, probability: float | None = 0.5) -> list[SampledItem]:
    return [
        SampledItem(DatasetItem(id=str(n)), Decision(str(n), True, probability, "random", "web")) for n in range(count)
    ]


def test_thinning_multiplies_chances() -> None:
    """Kept or not, each item's chance is that of both steps; thinned twice, of three. Tried items stay as they are."""
    tried = replace(page(1)[0], attempts=1)
    kept, dropped = thin_page([*page(100), tried], 0.25, Random(1))
    assert tried in kept
    assert 10 < len(kept) < 45
    assert {each.decision.probability for each in [*kept[:-1], *dropped]} == {0.125}
    again, _ = thin_page(kept[:-1], 0.5, Random(2))
    assert {(each.decision.probability, each.decision.strategy) for each in again} == {(0.0625, "random, thinned")}
    assert all(is_thinned(each.decision.strategy) and each.decision.stratum == "web" for each in again)
    assert {each.decision.probability for each in thin_page(page(9, None), 0.5, Random(1))[0]} == {None}


class Wallet:
    """`Spending` over what the metric says that it has cost."""

    def __init__(self, limit: float, dies_after: int) -> None:
        self.limit, self.dies_after, self.costs = limit, dies_after, list[float]()
        self.foreseen: list[str] = []

    def usage(self) -> tuple[ModelUsage, ...]:
        return (ModelUsage("Judge", "small", len(self.costs), cost=sum(self.costs)),)

    def uses(self) -> tuple[BudgetUse, ...]:
        return (BudgetUse("usd", "run", self.limit, sum(self.costs)),)

    def notes(self) -> tuple[str, ...]:
        return ()

    def remaining_budgets(self) -> tuple[RemainingBudget, ...]:
        squares = sum(cost * cost for cost in self.costs)
        left, largest = self.limit - sum(self.costs), max(self.costs, default=0.0)
        return (RemainingBudget(left, 0.0, largest, sum(self.costs), squares, len(self.costs), 2.0),)

    async def foresee(self, items: Sequence[DatasetItem]) -> None:
        self.foreseen = [item.id for item in items]


class Bank(House):
    """A monitor whose one metric costs what the item's answer is long, and fails on long ones."""

    wallet: Wallet
    at_call: dict[str, Decision]

    def judge(self) -> Any:
        async def judged(item: DatasetItem) -> float:
            self.at_call[item.id] = self.state.samples.read_unfinished(STREAM, [item.id])[0].decision
            if len(self.wallet.costs) >= self.wallet.dies_after:
                raise FatalError("killed")
            cost = 1.0 + len(item.actual_output or "") % 3
            if sum(self.wallet.costs) + cost > self.wallet.limit:
                raise OverBudget("the wallet is empty")
            self.wallet.costs.append(cost)
            self.counting.calls.append(item.id)
            return float(cost < 3.0)

        return judged

    def spend(self, limit: float, dies_after: int = 1_000_000) -> RunReport:
        self.wallet, self.at_call = Wallet(limit, dies_after), {}
        ports = Ports(self.scored, self.state, (Outlet(self.shelf),), money=self.wallet, clock=lambda: NOW)
        runner = Runner([bind(self.judge(), "Judge")], (), RunnerOptions(max_concurrent=4))
        return asyncio.run(run_monitor(replace(self.plan, runner=runner), ports))


def test_a_run_that_is_thinned_is_done_and_weighted(tmp_path: Path) -> None:
    """The run ends well with estimates; n is what was scored, and the weights stand for the whole pool."""
    house = Bank(tmp_path, ListSource(items(600)), strategy=RandomSample(n=400, seed=7))
    report = house.spend(300.0)
    assert report.status == "done"
    assert sum(house.wallet.costs) <= 300.0
    assert len(house.wallet.foreseen) == 30
    assert report.counts.thinned == 400 - report.counts.scored
    (estimate,) = report.estimates
    assert estimate.n == report.counts.scored == len(house.counting.calls)
    assert estimate.mean == pytest.approx(2 / 3, abs=0.25)  # six standard errors: which items are kept is chance
    stood_for = sum(1 / (each.decision.probability or math.nan) for each in house.reader.results.read_results(STREAM))
    assert stood_for == pytest.approx(600, rel=0.3)
    assert "thinned to keep the budget" in " ".join(report.notes)
    assert house.spend(300.0).status == "nothing_new"


def test_what_was_kept_is_thinned_again_by_the_run_that_finishes_the_draw(tmp_path: Path) -> None:
    """A run that broke off leaves kept items with their chance, and the next run's thinning multiplies it."""
    house = Bank(tmp_path, ListSource(items(2000)))  # so many that it is never chance that none is thinned twice
    with pytest.raises(FatalError, match="killed"):
        house.spend(1500.0, dies_after=0)
    before = {each.item.id: each.decision for each in waiting_items(house.state, STREAM, 5)}
    assert any(is_thinned(decision.strategy) for decision in before.values())
    report = house.spend(2000.0)
    assert report.status == "done"
    after = {each.item.id: each.decision for each in house.reader.results.read_results(STREAM)}
    twice = [each for each, was in before.items() if each in after and is_thinned(was.strategy)]
    assert twice
    changes = [(after[each].probability or 0) / (before[each].probability or 1) for each in twice]
    assert min(changes) < 1 >= max(changes)
    assert {after[each].strategy for each in twice} == {"all, thinned"}
    assert report.estimates[0].n == len(after)


def test_with_nothing_left_the_draw_waits(tmp_path: Path) -> None:
    """No money at all is no reason to lose the draw: the next run takes it up, thinned by what it has."""
    house = Bank(tmp_path, ListSource(items(100)))
    assert house.spend(0.0).status == "over_budget"
    assert len(house.state.samples.unfinished_ids(STREAM, 5)) == 100
    report = house.spend(90.0)
    assert report.status == "done"
    assert report.counts.resumed == report.counts.scored == len(house.counting.calls) < 60
    assert report.estimates[0].n == report.counts.scored


def test_the_chance_is_stored_before_the_item_is_scored(tmp_path: Path) -> None:
    """Whatever a kill interrupts, no item has been asked about whose chance is not in the database yet."""
    house = Bank(tmp_path, ListSource(items(300)))
    house.spend(100.0)
    stored = {each.item.id: each.decision for each in house.reader.results.read_results(STREAM)}
    assert len(stored) > 20
    assert stored == house.at_call
    assert any(is_thinned(decision.strategy) and (decision.probability or 1) < 1 for decision in stored.values())


def test_estimates_of_thinned_pages_are_unbiased() -> None:
    """Costs that go with the score, rates that go with the costs: the weighted sum is right on average.

    A z test at six standard errors: it fails by chance once in a hundred million runs, and always with this seed.
    """
    rng = Random(5)
    truth, differences = 0.0, []
    for _ in range(400):
        costs = [rng.lognormvariate(0, 0.8) for _ in range(200)]
        scores = [float(rng.random() < 1 / (1 + cost)) for cost in costs]
        truth = sum(scores)
        waiting = page(200, 1.0)
        spent, done, total, first = [0.0], 0, 0.0, None
        budget = 0.4 * sum(costs)
        while waiting:
            part = waiting[: page_size(len(waiting))]
            squares = sum(cost * cost for cost in spent)
            purse = RemainingBudget(budget - sum(spent), 0.0, 0.0, sum(spent), squares, max(1, done), 1.4)
            share = max(0.02, limit_rate_drop(keep_rate([purse], done, done, len(waiting)), first))
            first = first or share
            for each in thin_page(part, share, rng)[0]:
                place = int(each.item.id)
                total += scores[place] / (each.decision.probability or math.nan)
                spent.append(costs[place])
                done += 1
            del waiting[: len(part)]
        differences.append(total - truth)
    mean = sum(differences) / len(differences)
    spread = math.sqrt(sum((each - mean) ** 2 for each in differences) / (len(differences) - 1))
    assert abs(mean) < 6 * spread / math.sqrt(len(differences))
    assert spread / math.sqrt(len(differences)) < 2.0
