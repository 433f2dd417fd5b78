"""The OpenTelemetry sink from the `publishing` block: always best effort."""

from __future__ import annotations

from importlib.util import find_spec

from shared.core.extras import install_command
from shared.core.ports import Sink
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import MonitorConfig
from shared.wiring.config.settings import RunEnvironment


def opentelemetry_sink(config: MonitorConfig, checker: Checker, around: RunEnvironment) -> Sink | None:
    """The sink, where the block asks for it; what is not said there comes from OpenTelemetry's variables."""
    block, where = config.publishing.opentelemetry, ("publishing", "opentelemetry")
    if block is None:
        return None
    given = {key: value for key, value in block.items() if key != "required"}  # of every sink, seen to in sinks.py
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
        checker.problem(where, f"needs the extra otel: {install_command('otel')}")
        return None
    from shared.telemetry.otlp_params import with_environment
    from shared.telemetry.otlp_sink import OpenTelemetrySink  # late: only this sink needs an HTTP client

    filled = with_environment(given, around.variables)
    if "endpoint" not in filled:
        checker.problem(where, "'endpoint' is missing; name the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT")
        return None
    params = checker.model(OpenTelemetrySink.Params, filled, where)
    environment = config.environment or around.settings.environment
    return None if params is None else OpenTelemetrySink(params, environment)
