"""The OpenTelemetry sink from the `publishing` block: always best effort."""

from __future__ import annotations

from importlib.util import find_spec

from shared.core.ports import Sink
from shared.core.registry import install_command
from shared.telemetry.otlp_params import OpenTelemetryParams, with_environment
from shared.wiring.build.build_context import SinkBuildContext, SinkBuilder


def build_opentelemetry_sink(context: SinkBuildContext) -> Sink | None:
    """The sink; what its parameters leave out comes from OpenTelemetry's variables."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
        context.problem(f"needs the extra otel: {install_command('otel')}")
        return None
    from shared.telemetry.otlp_sink import OpenTelemetrySink  # late: only this sink needs an HTTP client

    filled = with_environment(dict(context.entry.given), context.build.around.variables)
    if "endpoint" not in filled:
        context.problem("'endpoint' is missing; name the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT")
        return None
    params = context.build.checker.model(OpenTelemetrySink.Params, filled, context.entry.where)
    return None if params is None else OpenTelemetrySink(params, context.environment)


OPENTELEMETRY_SINK = SinkBuilder(
    OpenTelemetryParams,
    build_opentelemetry_sink,
    "Scores as OpenTelemetry events of the span that was judged.",
    found_elsewhere=("endpoint",),
    always_best_effort=True,
)
