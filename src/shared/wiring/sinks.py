"""The sinks of a monitor, from its `publishing` block: one builder for each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.core.ports import Sink
from shared.core.registry import hint
from shared.files.sink import FileSink
from shared.wiring.checking import Checker
from shared.wiring.config import MonitorConfig, Publishing
from shared.wiring.settings import Surroundings
from shared.wiring.sink_database import database_sink
from shared.wiring.sink_otel import opentelemetry_sink

_NOT_YET = {
    "push_to_langfuse": "the Langfuse sink",
    "trace_experiment": "the Langfuse sink",
}


@dataclass(frozen=True, slots=True)
class Making:
    """What a builder of a sink is given; mistakes go to the checker."""

    config: MonitorConfig
    checker: Checker
    around: Surroundings

    @property
    def publishing(self) -> Publishing:
        """The block."""
        return self.config.publishing


def build_sinks(making: Making, labels: Sequence[str]) -> tuple[Sink, ...]:
    """Every sink that the block asks for. What cannot be fulfilled is noted with the checker."""
    check_publishing(making.publishing, labels, making.checker)
    made = (build(making) for build in _BUILDERS)
    return tuple(sink for sink in made if sink is not None)


def check_publishing(publishing: Publishing, labels: Sequence[str], checker: Checker) -> None:
    """Note every wish that cannot be fulfilled, rather than let it pass in silence."""
    for key, sink in _NOT_YET.items():
        if getattr(publishing, key):
            checker.problem(
                ("publishing", key),
                f"found true, but {sink} is not in this version; set it to false. Scores are kept in the state "
                "database, and `publishing: {files: {directory: ...}}` writes them to files",
            )
    if publishing.experiment is not None and publishing.experiment.enabled:
        checker.problem(
            ("publishing", "experiment", "enabled"),
            "found true, but Langfuse experiments are not in this version; set it to false",
        )
    for i, name in enumerate(publishing.metric_names):
        if labels and name not in labels:
            checker.problem(("publishing", "metric_names", i), f"unknown label {name!r}. {hint(name, labels)}")


def _files(making: Making) -> Sink | None:
    if making.publishing.files is None:
        return None
    params = making.checker.model(FileSink.Params, making.publishing.files, ("publishing", "files"))
    return None if params is None else FileSink(params, making.around.root)


def _database(making: Making) -> Sink | None:
    return database_sink(making.config, making.checker, making.around)


def _events(making: Making) -> Sink | None:
    return opentelemetry_sink(making.config, making.checker, making.around)


_BUILDERS: tuple[Callable[[Making], Sink | None], ...] = (_files, _database, _events)
