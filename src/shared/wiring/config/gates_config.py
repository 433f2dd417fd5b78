"""The block `gates`: what a run must reach, or it ends with exit code 5."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from shared.core.registry import hint
from shared.scoring.gates import Bound, Gate, GateSpan, GateValue
from shared.wiring.config.checker import StrictModel


class GateConfig(StrictModel):
    """One gate."""

    metric: str = Field(description="the name of a metric, of a part of one, or of a combined metric")
    min: float | None = Field(default=None, allow_inf_nan=False, description="lower than this fails the run")
    max: float | None = Field(default=None, allow_inf_nan=False, description="higher than this fails the run")
    of: Bound = Field(default="estimate", description="what is compared: the estimate, or a bound of its 95 % interval")
    on: GateSpan = Field(default="run", description="the items of this run, or those of the last 24 hours")
    value: GateValue | None = Field(
        default=None, description="pass_rate or mean; default: the pass rate where the metric has a threshold"
    )

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("expected min, max or both, found neither")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: no run could pass")
        return self

    def build(self) -> Gate:
        """The gate."""
        return Gate(self.metric, self.min, self.max, self.of, self.on, self.value)


def list_labels(metrics: Iterable[str], tree: Mapping[str, Any] | None) -> list[str]:
    """The names of metrics and of the nodes of a tree above them."""
    found = list(metrics)
    for name, below in (tree or {}).items():
        if not name.startswith("_"):
            found += [name, *list_labels((), below if isinstance(below, Mapping) else None)]
    return list(dict.fromkeys(found))


def check_metric_name(what: str, name: str, known: Collection[str], parts: bool = True) -> None:
    """Check that what is configured is about one of these metrics, or a part of one.

    Raises:
        ValueError: when it is not.
    """
    if name not in known and not (parts and any(name.startswith(f"{each}_") for each in known)):
        raise ValueError(f"{what} for an unknown metric {name!r}. {hint(name, known)}")
