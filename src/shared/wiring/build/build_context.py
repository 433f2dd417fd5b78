"""What builders are given: the checked configuration, and for sinks the entry that asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from shared.core.counts import Information
from shared.core.ports import DataSource, Sink, SinkContext
from shared.core.state.outbox import MessageSink
from shared.wiring.config.checker import Checker, StrictModel
from shared.wiring.config.env_settings import RunEnvironment
from shared.wiring.config.monitor_config import MonitorConfig, Publishing
from shared.wiring.config.yaml_file import Document, Where


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The checked values of a configuration, the file that they come from, and the environment that it runs in."""

    values: MonitorConfig
    document: Document
    environment: RunEnvironment


class SinkCommon(StrictModel):
    """What every sink takes."""

    type: str = Field(description="the kind of sink: a name, or package.module:attr")
    name: str = Field(
        default="", description="identifies the sink's pending deliveries in the state database; default: by type"
    )
    required: bool = Field(default=True, description="false: best effort; it holds up no item, and fails no run")

    @property
    def required_if_given(self) -> bool | None:
        """None where the entry does not say it."""
        return self.required if "required" in self.model_fields_set else None


@dataclass(frozen=True, slots=True)
class SinkEntry:
    """A sink that the configuration asks for: its own parameters, where they stand, and the key that asks for it."""

    type: str
    given: Mapping[str, object]
    where: Where
    asked_at: Where
    name: str = ""
    required: bool | None = None


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What all sinks of a monitor are built from; mistakes go to the checker. `labels` are the metrics' names, where
    they are known; `source` is the monitor's own; what builders share with one another is in `shared`.
    """

    config: MonitorConfig
    checker: Checker
    around: RunEnvironment
    labels: Sequence[str] = ()
    source: DataSource | None = None
    shared: dict[object, object] = field(default_factory=dict)

    @property
    def publishing(self) -> Publishing:
        """The block."""
        return self.config.publishing

    @property
    def environment(self) -> str:
        """The environment of the monitor, empty where none is named."""
        return self.config.environment or self.around.settings.environment


@dataclass(frozen=True, slots=True)
class SinkBuildContext(SinkContext):
    """What the builder of one sink is given."""

    entry: SinkEntry
    entries: Sequence[SinkEntry]
    build: BuildContext

    def problem(self, text: str, *steps: str | int) -> None:
        """Note a mistake in the sink's parameters, or at the key that asks for it where no parameter is named."""
        self.build.checker.problem((*self.entry.where, *steps) if steps else self.entry.asked_at, text)


@dataclass(frozen=True, slots=True)
class SinkBuilder:
    """A kind of sink that is built of more than its own parameters. `build` returns None after noting why it cannot.
    Parameters that are `found_elsewhere` need not be given, though the model requires them.
    """

    Params: type[BaseModel]
    build: Callable[[SinkBuildContext], Sink | MessageSink | None]
    summary: str
    found_elsewhere: tuple[str, ...] = ()
    always_best_effort: bool = False


def describe_unused_keys(config: MonitorConfig) -> list[str]:
    """Keys that are accepted from older files and have no effect."""
    given = config.evaluation.model_fields_set
    idle = [key for key in ("trace_granularity", "flush_per_metric", "cache", "errors") if key in given]
    notes: list[str] = [f"evaluation.{key} is accepted and has no effect" for key in idle]
    if config.publishing.experiment is not None and "flush" in config.publishing.experiment.model_fields_set:
        notes.append("publishing.experiment.flush is accepted and has no effect: what is sent is confirmed")
    return list(map(Information, notes))
