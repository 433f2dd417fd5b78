"""A configuration after it has been read and checked."""

from __future__ import annotations

from dataclasses import dataclass

from shared.wiring.config.monitor_config import MonitorConfig
from shared.wiring.config.settings import RunEnvironment
from shared.wiring.config.yaml_file import Document


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The checked values of a configuration, the file that they come from, and the environment that it runs in."""

    values: MonitorConfig
    document: Document
    environment: RunEnvironment
