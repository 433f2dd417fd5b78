"""The money of one run: its account and budget, with what earlier runs of the day or month have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.core.records import DatasetItem
from shared.core.state.run_stores import RunReader
from shared.core.usage import BudgetUse, ModelUsage, RemainingBudget
from shared.llm.budget.ledger import Allowance, Amount, Ledger
from shared.llm.budget.metered_adapter import UsageAccount
from shared.llm.budget.prices import PICO
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.run.cost_forecast import CostForecast, forecast_cost, metric_digests

PAST = 20
"""Past runs that an estimate goes by."""


class RunSpending:
    """`Spending` of one run of a built monitor."""

    def __init__(self, built: BuiltMonitor, reader: RunReader, now: datetime) -> None:
        self._built, self._reader = built, reader
        allowance = built.models.allowance or Allowance()
        self.account = UsageAccount(Ledger(allowance, spent_before(allowance, reader, built.plan.name, now)))
        self._digests = metric_digests(built.metrics)
        self._outlook: CostForecast | None = None

    def usage(self) -> tuple[ModelUsage, ...]:
        """What was asked so far; each row with the digest of its metric."""
        return tuple(replace(each, digest=self._digests.get(each.metric, "")) for each in self.account.usage())

    def uses(self) -> tuple[BudgetUse, ...]:
        """How much of the budget is used."""
        return self.account.ledger.uses()

    def notes(self) -> tuple[str, ...]:
        """Whether the budget is passed where it may be, and which tokens are not the server's own count."""
        guessed = sum(each.estimated for each in self.account.usage())
        told = f"{guessed:,} call(s) came without a count of tokens; theirs are estimated from the texts"
        return (*self.account.ledger.notes, *([told] if guessed else []))

    def purses(self) -> tuple[RemainingBudget, ...]:
        """What is left, when the budget is kept by thinning."""
        allowance = self._built.models.allowance
        if allowance is None or allowance.on_over != "thin" or not self._built.models.models.handles:
            return ()
        found = self._outlook
        expected = () if found is None else (found.usd, found.tokens, found.at_most)
        return self.account.ledger.purses(*expected)

    async def foresee(self, items: Sequence[DatasetItem]) -> None:
        """Estimate what an item costs, by past runs or by the tokens of these items."""
        built = self._built
        past = [run for run in self._reader.newest_runs(built.plan.name, limit=PAST) if run.usage]
        self._outlook = await forecast_cost(built.models, built.metrics, past, items)


def spent_before(allowance: Allowance, reader: RunReader, monitor: str, now: datetime) -> Amount:
    """What runs of a monitor that began earlier in the budget's day or month (UTC) have spent."""
    if allowance.per == "run":
        return Amount()
    since = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = since if allowance.per == "day" else since.replace(day=1)
    rows = reader.read_usage(monitor, since)
    return Amount(sum(round((each.cost or 0.0) * PICO) for each in rows), sum(each.tokens for each in rows))


def budget_outlook(
    built: BuiltMonitor, found: CostForecast, items: int, reader: RunReader | None, now: datetime
) -> list[str]:
    """What a run of so many items would take of the budget, and what happens when that is too much."""
    allowance = built.models.allowance
    if allowance is None:
        return []
    before = Amount() if reader is None else spent_before(allowance, reader, built.plan.name, now)
    usd, tokens = found.usd or 0.0, found.tokens
    parts = [] if allowance.usd is None else [(usd * items, before.pico / PICO, allowance.usd)]
    parts += [] if allowance.tokens is None else [(tokens * items, before.tokens, allowance.tokens)]
    share = max(need / limit for need, _, limit in parts)
    enough = min((limit - gone) / need if need else 1.0 for need, gone, limit in parts)
    spent = f", of which {allowance.describe(before)} is spent" if before != Amount() else ""
    line = f"budget: {allowance}{spent}; this run would take {share:.0%} of it"
    if enough >= 1:
        return [line]
    fewer = max(0, int(enough * items))
    ends = {
        "thin": f"about {fewer:,} items would be scored, drawn by chance (on_over: thin)",
        "stop": f"it would end after about {fewer:,} items (on_over: stop)",
        "warn": "it would go on and say so (on_over: warn)",
    }
    return [f"{line}: {ends[allowance.on_over]}"]
