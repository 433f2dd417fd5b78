"""Scoring a list of items at once, without a monitor: for notebooks, tests and experiments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.core.clock import Clock, utc_now
from shared.core.digests import stable_id
from shared.core.event_loops import run_blocking
from shared.core.records import DatasetItem
from shared.core.results import ItemResult
from shared.scoring.metric import BoundMetric
from shared.scoring.result_tables import EvaluationInfo, EvaluationResult
from shared.scoring.runner import Runner, RunnerOptions
from shared.scoring.tree import Node


async def evaluate_async(
    items: Iterable[DatasetItem],
    metrics: Sequence[BoundMetric],
    nodes: Sequence[Node] = (),
    options: RunnerOptions | None = None,
    name: str = "evaluation",
    clock: Clock = utc_now,
) -> EvaluationResult:
    """Score every item with every metric; failures are values in the result, nothing is stored."""
    started = clock()
    results: list[ItemResult] = [result async for result in Runner(metrics, nodes, options).run(items)]
    run_id = f"{name}-{started:%Y%m%dT%H%M%S}-{stable_id(name, started)[:6]}"
    return EvaluationResult(EvaluationInfo(run_id, name, started), results)


def evaluate(
    items: Iterable[DatasetItem],
    metrics: Sequence[BoundMetric],
    nodes: Sequence[Node] = (),
    options: RunnerOptions | None = None,
    name: str = "evaluation",
    clock: Clock = utc_now,
) -> EvaluationResult:
    """`evaluate_async` for synchronous callers; also inside a running event loop, as in a notebook."""
    return run_blocking(evaluate_async(items, metrics, nodes, options, name, clock))
