"""Which metrics ask models, and what lets each ask its questions without a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.core.errors import ConfigError, FatalError
from shared.core.records import DatasetItem
from shared.llm.models.cost_forecast import ModelMetric
from shared.llm.models.model_handle import ModelHandle
from shared.scoring.metric import BoundMetric
from shared.scoring.runner import Runner, RunnerOptions


def find_model_metrics(metrics: Iterable[BoundMetric]) -> list[ModelMetric]:
    """Those of the metrics that ask models."""
    found = ((metric, _find_handles(metric)) for metric in metrics)
    return [ModelMetric(metric.ref.digest, handles, _Asking(metric)) for metric, handles in found if handles]


def _find_handles(metric: BoundMetric) -> list[ModelHandle]:
    """The models that a metric asks, itself or through a metric that is one of its parameters."""
    values = list(metric.params.values())
    own = [value for value in values if isinstance(value, ModelHandle)]
    return own + [each for value in values if isinstance(value, BoundMetric) for each in _find_handles(value)]


class _Asking:
    """Lets a metric ask its questions; how it fails on the answers does not matter."""

    def __init__(self, metric: BoundMetric) -> None:
        self._runner = Runner([metric], (), RunnerOptions(timeout=10.0))

    async def __call__(self, items: Sequence[DatasetItem]) -> None:
        results = self._runner.run(items)
        try:
            async for _ in results:
                pass
        except (ConfigError, FatalError):
            return
        finally:
            await results.aclose()
