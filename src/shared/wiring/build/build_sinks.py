"""The sinks of a monitor, from its `publishing` block: one builder for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.core.ports import Sink
from shared.core.registry import hint
from shared.core.state.outbox import MessageSink, Outlet
from shared.files.file_sink import FileSink
from shared.monitoring.sink_delivery import DeliveryLimits
from shared.wiring.build.build_context import BuildContext
from shared.wiring.build.sink_database import database_sink
from shared.wiring.build.sink_langfuse import experiment_sink, langfuse_sink
from shared.wiring.build.sink_otel import opentelemetry_sink
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import Publishing


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sink: the key of `publishing` whose block may say `required`, and its builder, which gives None when
    it is not asked for. `required` is the default; None: always best effort.
    """

    block: str
    build: Callable[[BuildContext], Sink | MessageSink | None]
    required: bool | None = True


def build_sinks(making: BuildContext) -> tuple[Outlet, ...]:
    """Every sink that the block asks for. What cannot be fulfilled is noted with the checker."""
    check_publishing(making.publishing, making.labels, making.checker)
    made = ((kind, kind.build(making)) for kind in _KINDS)
    return tuple(Outlet(sink, _required(making, kind)) for kind, sink in made if sink is not None)


def patience_of(publishing: Publishing) -> DeliveryLimits:
    """How long deliveries are waited for and tried."""
    return DeliveryLimits(verify=publishing.verify_seconds, tries=publishing.max_tries, hours=publishing.give_up_hours)


def _required(making: BuildContext, kind: Kind) -> bool:
    block = getattr(making.publishing, kind.block, None)
    said = block.get("required") if isinstance(block, Mapping) else getattr(block, "required", None)
    if kind.required is None:
        if said:
            making.checker.problem(
                ("publishing", kind.block, "required"), "found true, but this sink is always best effort; leave it out"
            )
        return False
    return said if isinstance(said, bool) else kind.required


def check_publishing(publishing: Publishing, labels: Sequence[str], checker: Checker) -> None:
    """Note labels that nothing makes."""
    for i, name in enumerate(publishing.metric_names):
        if labels and name not in labels:
            checker.problem(("publishing", "metric_names", i), f"unknown label {name!r}. {hint(name, labels)}")


def _files(making: BuildContext) -> Sink | None:
    params = making.params("files", FileSink.Params)
    return None if params is None else FileSink(params, making.around.root)


def _database(making: BuildContext) -> Sink | None:
    return database_sink(making.config, making.checker, making.around)


def _events(making: BuildContext) -> Sink | None:
    return opentelemetry_sink(making.config, making.checker, making.around)


_KINDS = (
    Kind("files", _files),
    Kind("database", _database),
    Kind("langfuse", langfuse_sink),
    Kind("experiment", experiment_sink),
    Kind("opentelemetry", _events, required=None),
)
"""Every kind, in the order in which sinks are named. One line for each further one: its block, its builder."""
