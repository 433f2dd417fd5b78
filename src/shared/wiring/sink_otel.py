"""The OpenTelemetry sink from the `publishing` block: best effort, so that it never fails or delays a run for long."""

from __future__ import annotations

from importlib.util import find_spec

from shared.core.best_effort import best_effort
from shared.core.ports import Batch, Sink
from shared.wiring.checking import Checker
from shared.wiring.config import MonitorConfig
from shared.wiring.settings import Surroundings

PATIENCE = 2
"""Batches in a row that may fail before the rest of the run is left out: each may take the sink's whole timeout."""


class BestEffortSink:
    """A sink in front of another whose failures are logged, and hold up nothing."""

    def __init__(self, sink: Sink) -> None:
        self.name = sink.name
        self._sink = sink
        self._failed = 0

    async def publish(self, batch: Batch) -> None:
        """Publish the batch, or say why not; after `PATIENCE` failures in a row no more is tried."""
        if self._failed == PATIENCE:
            return
        self._failed += 1
        what = f"publishing to {self.name}"
        if self._failed == PATIENCE:
            what += " (the rest of this run is not tried)"
        with best_effort(what):
            await self._sink.publish(batch)
            self._failed = 0


def opentelemetry_sink(config: MonitorConfig, checker: Checker, around: Surroundings) -> Sink | None:
    """The sink, where the block asks for it; what is not said there comes from OpenTelemetry's variables."""
    given, where = config.publishing.opentelemetry, ("publishing", "opentelemetry")
    if given is None:
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
        checker.problem(where, "needs the extra otel: pip install 'trueline[otel]'")
        return None
    from shared.telemetry.otlp import OpenTelemetrySink  # late: only this sink needs an HTTP client
    from shared.telemetry.otlp_params import with_environment

    filled = with_environment(given, around.variables)
    if "endpoint" not in filled:
        checker.problem(where, "'endpoint' is missing; name the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT")
        return None
    params = checker.model(OpenTelemetrySink.Params, filled, where)
    environment = config.environment or around.settings.environment
    return None if params is None else BestEffortSink(OpenTelemetrySink(params, environment))
