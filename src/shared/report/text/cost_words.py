"""What a run asked of models and paid for it, in words that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.counts import BudgetUse, ModelUsage
from shared.core.results import RunReport
from shared.report.text.formatting import format_dollars, format_percent, line


def sum_usage(rows: Sequence[ModelUsage]) -> ModelUsage:
    """The rows added up; the cost as far as it is known, None where it is not known of any."""
    known = [row.cost for row in rows if row.cost is not None]
    names = ("calls", "cached", "failed", "input", "cached_input", "output", "estimated")
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    return ModelUsage("all", "", **sums, cost=sum(known) if known else None)


def has_unpriced(rows: Sequence[ModelUsage]) -> bool:
    """Whether something was paid for that has no price."""
    return any(row.cost is None and (row.calls or row.failed) for row in rows)


def budget_words(use: BudgetUse) -> str:
    """How much of a limit is used: `61.5 % of the $0.05 a day is used ($0.01 by this run)`."""
    if use.unit == "usd":
        limit, spent = (
            f"${use.limit:,.2f}" if use.limit >= 0.01 else f"${use.limit:.10f}".rstrip("0"),
            format_dollars(use.spent),
        )
    else:
        limit, spent = f"{use.limit:,.0f} tokens", f"{use.spent:,.0f} tokens"
    own = f" ({spent} by this run)" if use.per != "run" else ""
    return f"{format_percent(use.share)} of the budget of {limit} a {use.per} is used{own}"


def cost_lines(run: RunReport) -> list[str]:
    """Some lines on what was asked of models; none when nothing was."""
    if not run.usage:
        return []
    lines = [f"models: {_words(sum_usage(run.usage))}"]
    if len(run.usage) > 1:
        lines += [f"  {line(row.metric, 40)} asks {line(row.model, 60)}: {_words(row)}" for row in run.usage[:10]]
    if len(run.usage) > 10:
        lines.append(f"  and {len(run.usage) - 10:,} more metrics and models")
    return [*lines, *(budget_words(use) for use in run.budget)]


def _words(row: ModelUsage) -> str:
    asked = [f"{row.calls:,} calls"]
    asked += [f"{row.cached:,} from cache"] if row.cached else []
    asked += [f"{row.failed:,} failed"] if row.failed else []
    cached = f" ({row.cached_input:,} cached)" if row.cached_input else ""
    cost = "no price is known" if row.cost is None else format_dollars(row.cost)
    return f"{', '.join(asked)}; {row.input:,} tokens in{cached}, {row.output:,} out; {cost}"
