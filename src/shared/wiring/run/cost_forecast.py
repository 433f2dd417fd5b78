"""What a run will cost, told before it: by this monitor's own past runs, else by counting the tokens of questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError, FatalError
from shared.core.ports import DataSource
from shared.core.records import DatasetItem
from shared.core.results import RunReport
from shared.core.usage import ModelUsage
from shared.llm.budget.estimating_adapter import EstimatingAdapter
from shared.llm.budget.ledger import format_dollars
from shared.llm.budget.prices import PICO
from shared.scoring.metric import BoundMetric
from shared.scoring.runner import Runner, RunnerOptions
from shared.wiring.build.build_budget import ModelCosts
from shared.wiring.build.build_models import ModelHandle

LOOKED_AT = 30
"""Items whose questions are counted."""


@dataclass(frozen=True, slots=True)
class CallForecast:
    """What one metric needs of one model for an item, on average. `cost` in US dollars, None without a price."""

    metric: str
    model: str
    calls: float
    input: float
    output: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class CostForecast:
    """What an item will need, and by what that was found."""

    needs: tuple[CallForecast, ...]
    by: str
    at_most: bool = False

    @property
    def tokens(self) -> float:
        """Input and output of an item."""
        return sum(need.input + need.output for need in self.needs)

    @property
    def usd(self) -> float | None:
        """Of an item, as far as prices are known; None when none is."""
        known = [need.cost for need in self.needs if need.cost is not None]
        return sum(known) if known else None

    def words(self, items: int | None) -> str:
        """A line about so many items, or about one when it is not known how many there will be."""
        n, about = (1, "an item") if items is None else (items, f"{items:,} items")
        money = "" if self.usd is None else f"{format_dollars(self.usd * n)} and "
        each = "" if self.usd is None or items is None else f" ({format_dollars(self.usd)} an item)"
        part = " as far as prices are known" if any(need.cost is None for need in self.needs) and money else ""
        most = "at most about" if self.at_most else "about"
        return f"cost: {most} {money}{self.tokens * n:,.0f} tokens for {about}{each}{part}, {self.by}"


async def forecast_cost(
    money: ModelCosts, metrics: Sequence[BoundMetric], past: Iterable[RunReport], items: Sequence[DatasetItem]
) -> CostForecast | None:
    """What an item will need: by past runs of the same metrics where there are any for all of them, else by tokens;
    None when no metric asks a model, or there is nothing to go by.
    """
    asking = [metric for metric in metrics if _handles(metric)]
    if not asking:
        return None
    found = _by_past(money, metric_digests(asking), past)
    return found if found is not None else await _by_tokens(money, asking, items)


def _handles(metric: BoundMetric) -> list[ModelHandle]:
    """The models that a metric asks, itself or through a metric that is one of its parameters."""
    values = list(metric.params.values())
    own = [value for value in values if isinstance(value, ModelHandle)]
    return own + [each for value in values if isinstance(value, BoundMetric) for each in _handles(value)]


def metric_digests(metrics: Iterable[BoundMetric]) -> dict[str, str]:
    """The metric's digest by the name under which its calls are counted: its label, or `label.part` of a part."""
    return {handle.metric: metric.ref.digest for metric in metrics for handle in _handles(metric)}


def _by_past(money: ModelCosts, digests: Mapping[str, str], past: Iterable[RunReport]) -> CostForecast | None:
    """The averages of past runs of these very metrics; None when one of them has none."""
    items = dict.fromkeys(digests, 0)
    rows: dict[tuple[str, str], list[ModelUsage]] = {}
    runs = most = 0
    for run in past:
        n = run.counts.scored + run.counts.failed_items
        same = [row for row in run.usage if digests.get(row.metric) == row.digest]
        if not n or not same:
            continue
        runs, most = runs + 1, most + n
        for label in {row.metric for row in same}:
            items[label] += n
        for row in same:
            rows.setdefault((row.metric, row.model), []).append(row)
    if not all(items.values()):
        return None
    needs = [_average(money, *key, found, items[key[0]]) for key, found in rows.items()]
    return CostForecast(tuple(needs), f"by {runs:,} past runs with {most:,} items")


def _average(money: ModelCosts, metric: str, model: str, rows: Sequence[ModelUsage], items: int) -> CallForecast:
    read, cached, said = (sum(getattr(row, name) for row in rows) for name in ("input", "cached_input", "output"))
    price = money.price_of(model)
    cost = None if price is None else price.picodollars(read, cached, said) / PICO / items
    return CallForecast(metric, model, sum(row.calls for row in rows) / items, read / items, said / items, cost)


async def _by_tokens(
    money: ModelCosts, metrics: Sequence[BoundMetric], items: Sequence[DatasetItem]
) -> CostForecast | None:
    """The tokens of what the metrics ask about these items; nothing is sent, and the scores are thrown away."""
    if not items:
        return None
    needs: list[CallForecast] = []
    for metric in metrics:
        handles = _handles(metric)
        counting = [EstimatingAdapter(money.models.names(handle.alias)[0]) for handle in handles]
        with _Answering(handles, counting):
            await _walked(metric, items)
        for handle, counted in zip(handles, counting, strict=True):
            price, n = money.price(handle.alias), len(items)
            cost = None if price is None else price.max_picodollars(counted.input, counted.output) / PICO / n
            sizes = (counted.calls / n, counted.input / n, counted.output / n)
            needs.append(CallForecast(handle.metric, counted.name, *sizes, cost))
    by = (
        f"by counting what would be asked about {len(items):,} of them, with the longest answers; what the response "
        "cache has is not taken off"
    )
    return CostForecast(tuple(needs), by, at_most=True)


async def _walked(metric: BoundMetric, items: Sequence[DatasetItem]) -> None:
    """Let a metric ask its questions; how it fails on the stand-in's answers does not matter."""
    results = Runner([metric], (), RunnerOptions(timeout=10.0)).run(items)
    try:
        async for _ in results:
            pass
    except (ConfigError, FatalError):
        return
    finally:
        await results.aclose()


class _Answering:
    """While it is entered, the handles are answered by others; then again by whom they were."""

    def __init__(self, handles: Sequence[ModelHandle], adapters: Sequence[EstimatingAdapter]) -> None:
        self._handles, self._adapters = handles, adapters
        self._before = [handle.inner for handle in handles]

    def __enter__(self) -> None:
        for handle, adapter in zip(self._handles, self._adapters, strict=True):
            handle.attach(adapter)

    def __exit__(self, *_: object) -> None:
        for handle, inner in zip(self._handles, self._before, strict=True):
            handle.attach(inner)


def read_first_items(source: DataSource, now: datetime) -> list[DatasetItem] | Exception:
    """Some items of a source, or why it cannot be read."""

    def first(at: datetime) -> list[DatasetItem]:
        found = (record for record in source.fetch(at) if isinstance(record, DatasetItem))
        return list(islice(found, LOOKED_AT))

    return attempt(first, now)
