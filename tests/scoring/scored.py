"""How metric tests ask a registered metric: by its name, through the runner, as a user's config would."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.core.records import DatasetItem
from shared.core.registry import load
from shared.core.results import ItemResult, MetricScore
from shared.scoring.metric import BoundMetric, MetricOptions, bind
from shared.scoring.metric_library import LIBRARY
from shared.scoring.runner import Runner, RunnerOptions
from shared.scoring.tree import Node


def metric_of(name: str, **params: Any) -> BoundMetric:
    """A metric of the library under its own name as label."""
    return bind(load(LIBRARY[name]), name, params)


def run(
    items: Iterable[DatasetItem],
    metrics: Sequence[BoundMetric],
    nodes: Sequence[Node] = (),
    options: RunnerOptions | None = None,
) -> list[ItemResult]:
    """Every result of a run, in the order they come."""

    async def collect() -> list[ItemResult]:
        return [each async for each in Runner(metrics, nodes, options).run(items)]

    return asyncio.run(collect())


def result_of(name: str, raw: Mapping[str, Any], **params: Any) -> ItemResult:
    """All that one metric of the library says of one item."""
    return run([DatasetItem.from_dict(raw)], [metric_of(name, **params)])[0]


def score_of(name: str, raw: Mapping[str, Any], **params: Any) -> MetricScore:
    """The one score that a metric of the library gives an item; fails with what it says instead."""
    result = result_of(name, raw, **params)
    assert len(result.scores) == 1, result
    return result.scores[0]


def applies(name: str, raw: Mapping[str, Any], **params: Any) -> bool:
    """Whether a metric of the library says anything of an item; a failure is an answer to be looked at."""
    result = result_of(name, raw, **params)
    assert not result.failures, result.failures
    return bool(result.scores)


__all__ = ["DatasetItem", "MetricOptions", "applies", "metric_of", "result_of", "run", "score_of"]
