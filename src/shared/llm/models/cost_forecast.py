"""What a run will cost, before it starts: from past runs of the same metrics, else by the tokens of its questions."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from shared.core.counts import ModelUsage
from shared.core.records import DatasetItem
from shared.core.results import LMResult, RunReport
from shared.llm.adapters.offline import make_answer_text
from shared.llm.adapters.serverless_adapter import ServerlessAdapter
from shared.llm.budget.ledger import Allowance, Amount, format_dollars
from shared.llm.budget.prices import PICO
from shared.llm.budget.token_counts import likely_input_tokens
from shared.llm.cache.request_key import Prompt
from shared.llm.models.model_costs import ModelCosts
from shared.llm.models.model_handle import ModelHandle


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """A metric that asks models: its digest, its models, and what lets it ask its questions about items."""

    digest: str
    handles: Sequence[ModelHandle]
    ask: Callable[[Sequence[DatasetItem]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CallForecast:
    """What one metric asks of one model for an item, on average. `cost` in US dollars, None without a price."""

    metric: str
    model: str
    calls: float
    input: float
    output: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class CostForecast:
    """What an item will need, and what that is estimated from."""

    calls: tuple[CallForecast, ...]
    basis: str
    at_most: bool = False

    @property
    def tokens(self) -> float:
        """Input and output of an item."""
        return sum(each.input + each.output for each in self.calls)

    @property
    def usd(self) -> float | None:
        """Of an item, as far as prices are known; None when none is."""
        known = [each.cost for each in self.calls if each.cost is not None]
        return sum(known) if known else None

    def describe(self, items: int | None) -> str:
        """A line about so many items, or about one when it is not known how many there will be."""
        n, about = (1, "an item") if items is None else (items, f"{items:,} items")
        money = "" if self.usd is None else f"{format_dollars(self.usd * n)} and "
        each = "" if self.usd is None or items is None else f" ({format_dollars(self.usd)} an item)"
        part = " as far as prices are known" if any(call.cost is None for call in self.calls) and money else ""
        most = "at most about" if self.at_most else "about"
        return f"cost: {most} {money}{self.tokens * n:,.0f} tokens for {about}{each}{part}, {self.basis}"

    def describe_budget(self, allowance: Allowance, before: Amount, items: int) -> str:
        """What a run of so many items takes of the budget, of which earlier runs have spent `before`."""
        usd, tokens = self.usd or 0.0, self.tokens
        parts = [] if allowance.usd is None else [(usd * items, before.pico / PICO, allowance.usd)]
        parts += [] if allowance.tokens is None else [(tokens * items, before.tokens, allowance.tokens)]
        share = max(need / limit for need, _, limit in parts)
        enough = min((limit - gone) / need if need else 1.0 for need, gone, limit in parts)
        spent = f", of which {allowance.describe(before)} is spent" if before != Amount() else ""
        line = f"budget: {allowance}{spent}; this run would take {share:.0%} of it"
        if enough >= 1:
            return line
        fewer = max(0, int(enough * items))
        ends = {
            "thin": f"about {fewer:,} items would be scored, sampled at random (on_over: thin)",
            "stop": f"it would end after about {fewer:,} items (on_over: stop)",
            "warn": "it would continue with a warning (on_over: warn)",
        }
        return f"{line}: {ends[allowance.on_over]}"


class EstimatingAdapter(ServerlessAdapter):
    """Counts questions: their likely tokens, and `max_tokens` of answer each, which is the most that there can be.

    Its answers only let metrics of several steps get on: the shortest instance of the schema that is asked for, else a
    word, marked as `offline` answers are, so that nothing is asked twice for them. They are no judgements; whoever asks
    throws the scores away.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = self.input = self.output = 0
        self._lock = threading.Lock()

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """A stand-in for the answer, after counting the question."""
        tokens = likely_input_tokens(prompt, params)
        with self._lock:
            self.calls += 1
            self.input += tokens
            self.output += max_tokens
        text = make_answer_text(params.get("response_format"), "estimate", 0, "estimate")
        usage = {"input": tokens, "output": max_tokens}
        return LMResult(text, usage=usage, cost=0.0, latency=0.0, model="offline", answered_by=self.name)


async def forecast_cost(
    costs: ModelCosts, metrics: Sequence[ModelMetric], past: Iterable[RunReport], items: Sequence[DatasetItem]
) -> CostForecast | None:
    """What an item will need: from past runs of the same metrics where there are any for all of them, else by tokens;
    None when no metric asks a model, or there is nothing to estimate it from.
    """
    if not metrics:
        return None
    found = _forecast_from_past_runs(costs, metric_digests(metrics), past)
    return found if found is not None else await _forecast_from_tokens(costs, metrics, items)


def metric_digests(metrics: Iterable[ModelMetric]) -> dict[str, str]:
    """The metric's digest by the name under which its calls are counted: its name, or `name.part` of a part."""
    return {handle.metric: metric.digest for metric in metrics for handle in metric.handles}


def describe_own_costs(past: Sequence[RunReport], items: int) -> str:
    """What metrics report themselves that they have cost, where no model is asked."""
    scored = sum(run.counts.scored for run in past)
    if not scored:
        return "cost: no past run to estimate it from"
    each = sum(run.spending.cost or 0.0 for run in past) / scored
    return f"cost: about ${each * items:.2f} (${each:.5f} an item), from {len(past)} past runs with {scored:,} items"


def _forecast_from_past_runs(
    costs: ModelCosts, digests: Mapping[str, str], past: Iterable[RunReport]
) -> CostForecast | None:
    """The averages of past runs of these very metrics; None when one of them has none."""
    items = dict.fromkeys(digests, 0)
    rows: dict[tuple[str, str], list[ModelUsage]] = {}
    runs = most = 0
    for run in past:
        n = run.counts.scored + run.counts.failed_items
        same = [row for row in run.spending.usage if digests.get(row.metric) == row.digest]
        if not n or not same:
            continue
        runs, most = runs + 1, most + n
        for label in {row.metric for row in same}:
            items[label] += n
        for row in same:
            rows.setdefault((row.metric, row.model), []).append(row)
    if not all(items.values()):
        return None
    calls = [_average_calls(costs, found, items[metric]) for (metric, _), found in rows.items()]
    return CostForecast(tuple(calls), f"from {runs:,} past runs with {most:,} items")


def _average_calls(costs: ModelCosts, rows: Sequence[ModelUsage], items: int) -> CallForecast:
    read, cached, written = (sum(getattr(row, name) for row in rows) for name in ("input", "cached_input", "output"))
    metric, model = rows[0].metric, rows[0].model
    price = costs.price_by_name(model)
    cost = None if price is None else price.picodollars(read, cached, written) / PICO / items
    return CallForecast(metric, model, sum(row.calls for row in rows) / items, read / items, written / items, cost)


async def _forecast_from_tokens(
    costs: ModelCosts, metrics: Sequence[ModelMetric], items: Sequence[DatasetItem]
) -> CostForecast | None:
    """The tokens of what the metrics ask about these items; nothing is sent, and the scores are thrown away."""
    if not items:
        return None
    calls: list[CallForecast] = []
    for metric in metrics:
        counting = [EstimatingAdapter(costs.models.names(handle.alias)[0]) for handle in metric.handles]
        with _answer_by(metric.handles, counting):
            await metric.ask(items)
        for handle, counted in zip(metric.handles, counting, strict=True):
            price, n = costs.price(handle.alias), len(items)
            cost = None if price is None else price.max_picodollars(counted.input, counted.output) / PICO / n
            sizes = (counted.calls / n, counted.input / n, counted.output / n)
            calls.append(CallForecast(handle.metric, counted.name, *sizes, cost))
    basis = (
        f"by counting what would be asked about {len(items):,} of them, with the longest answers; what the response "
        "cache has is not deducted"
    )
    return CostForecast(tuple(calls), basis, at_most=True)


@contextmanager
def _answer_by(handles: Sequence[ModelHandle], adapters: Sequence[EstimatingAdapter]) -> Iterator[None]:
    """Within the block the handles are answered by adapters that count; afterwards as before."""
    before = [handle.inner for handle in handles]
    try:
        for handle, adapter in zip(handles, adapters, strict=True):
            handle.connect(adapter)
        yield
    finally:
        for handle, inner in zip(handles, before, strict=True):
            handle.connect(inner)
