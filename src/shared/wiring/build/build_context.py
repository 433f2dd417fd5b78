"""What builders of sinks are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, Field, create_model

from shared.core.ports import DataSource
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import MonitorConfig, Publishing
from shared.wiring.config.settings import RunEnvironment

Params = TypeVar("Params", bound=BaseModel)


def with_required(params: type[Params]) -> type[Params]:
    """A sink's parameters with the key that every sink has."""
    said = "false: best effort; it holds up no item, and fails no run"
    return create_model(params.__name__, __base__=params, required=(bool, Field(default=True, description=said)))


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a builder of a sink is given; mistakes go to the checker. `labels` are those that are scored, as far as they
    are known; `source` is the monitor's own; what builders share with one another is in `shared`.
    """

    config: MonitorConfig
    checker: Checker
    around: RunEnvironment
    labels: Sequence[str] = ()
    source: DataSource | None = None
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def publishing(self) -> Publishing:
        """The block."""
        return self.config.publishing

    def params(self, block: str, model: type[Params]) -> Params | None:
        """`publishing.<block>`, a plain mapping, as a sink's parameters; None when it is not there or is wrong. Its
        `required` is taken care of.
        """
        given = getattr(self.publishing, block)
        return None if given is None else self.checker.model(with_required(model), given, ("publishing", block))
