"""What one run spends on models: its account and budget, with what earlier runs of the day or month have spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.core.counts import BudgetUse, Information, ModelUsage, RemainingBudget, Spending
from shared.core.records import DatasetItem
from shared.core.results import RunReport
from shared.core.state.run_stores import RunReader
from shared.llm.budget.ledger import Allowance, Amount, Ledger
from shared.llm.budget.metered_adapter import UsageAccount
from shared.llm.budget.prices import PICO
from shared.llm.models.cost_forecast import CostForecast, ModelMetric, forecast_cost, metric_digests
from shared.llm.models.model_costs import ModelCosts

PAST_RUNS = 20
"""Past runs that an estimate is made from."""


class RunSpending:
    """The spending of one run of a monitor."""

    def __init__(
        self, costs: ModelCosts, metrics: Sequence[ModelMetric], monitor: str, reader: RunReader, now: datetime
    ) -> None:
        self._costs, self._metrics, self._monitor, self._reader = costs, metrics, monitor, reader
        allowance = costs.allowance or Allowance()
        self.account = UsageAccount(Ledger(allowance, spent_before(allowance, reader, monitor, now)))
        self._digests = metric_digests(metrics)
        self._forecast: CostForecast | None = None

    def usage(self) -> tuple[ModelUsage, ...]:
        """What was asked so far; each row with the digest of its metric."""
        return tuple(replace(each, digest=self._digests.get(each.metric, "")) for each in self.account.usage())

    def uses(self) -> tuple[BudgetUse, ...]:
        """How much of the budget is used."""
        return self.account.ledger.uses()

    def notes(self) -> tuple[str, ...]:
        """Whether the budget is exceeded where it may be, and which tokens are not the server's own count."""
        guessed = sum(each.estimated for each in self.account.usage())
        note = f"{guessed:,} call(s) came without a count of tokens; theirs are estimated from the texts"
        return (*self.account.ledger.notes, *([Information(note)] if guessed else []))

    def remaining_budgets(self) -> tuple[RemainingBudget, ...]:
        """What is left, when the budget is kept by thinning."""
        allowance = self._costs.allowance
        if allowance is None or allowance.on_over != "thin" or not self._costs.models.handles:
            return ()
        found = self._forecast
        expected = () if found is None else (found.usd, found.tokens, found.at_most)
        return self.account.ledger.remaining_budgets(*expected)

    async def foresee(self, items: Sequence[DatasetItem]) -> None:
        """Estimate what an item costs, from past runs or by the tokens of these items."""
        past = [run for run in self._reader.newest_runs(self._monitor, limit=PAST_RUNS) if run.spending.usage]
        self._forecast = await forecast_cost(self._costs, self._metrics, past, items)

    def add_later_usage(self, report: RunReport) -> RunReport:
        """The report with what was asked after the run's own scores."""
        usage = self.usage()
        if usage == report.spending.usage:
            return report
        more = sum(each.cost or 0.0 for each in usage) - sum(each.cost or 0.0 for each in report.spending.usage)
        cost = report.spending.cost + more if report.spending.cost is not None else more or None
        return replace(report, spending=Spending(cost, usage, self.uses()))


def spent_before(allowance: Allowance, reader: RunReader, monitor: str, now: datetime) -> Amount:
    """What runs of a monitor that began earlier in the budget's day or month (UTC) have spent."""
    if allowance.per == "run":
        return Amount()
    since = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = since if allowance.per == "day" else since.replace(day=1)
    rows = reader.read_usage(monitor, since)
    return Amount(sum(round((each.cost or 0.0) * PICO) for each in rows), sum(each.tokens for each in rows))
