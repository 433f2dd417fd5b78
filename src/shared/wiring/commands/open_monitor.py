"""From the options of a command to the monitor that its configuration describes."""

from __future__ import annotations

from argparse import Namespace

from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions, build_monitor
from shared.wiring.config.find_config import find_config


def open_monitor(options: Namespace, run_options: RunOptions | None = None) -> BuiltMonitor:
    """The monitor of the command line.

    Raises:
        UsageError: when there is no such configuration. ConfigError: with every mistake in it.
    """
    built = build_monitor(
        find_config(options.config),
        run_options or RunOptions(tuple(options.overrides)),
        secrets=options.output_redactor.secrets,
    )
    options.output_redactor.use(built.redactor)
    return built
