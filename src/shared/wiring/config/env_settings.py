"""Settings in layers: the root's `.env`, then the application's own `.env`, then the environment.

A variable that is empty counts as not set: it is what a scheduled workflow makes of an input that it does not have.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from shared.core.errors import ConfigError
from shared.wiring.config.project_root import earlier_root, project_root


class Settings(BaseModel):
    """What the environment decides. Names are those of the environment variables, in any case."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    environment: str = ""
    deduplicate: bool = True
    safe_mode: bool = False
    privacy_key: SecretStr = SecretStr("")
    trueline_state_must_exist: bool | None = None


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """Where a run takes place: the folder that relative paths start from, all variables, and the settings.
    `earlier_root` is the folder that they started from in earlier versions, mostly the same.
    """

    root: Path
    variables: Mapping[str, str]
    settings: Settings
    earlier_root: Path


def read_environment(config_path: Path, environ: Mapping[str, str] | None = None) -> RunEnvironment:
    """Read the layers for a configuration file; later layers win.

    Raises:
        ConfigError: when a setting has a value of the wrong type.
    """
    folder = config_path.resolve().parent
    root, earlier = project_root(folder, Path.cwd()), earlier_root(folder, Path.cwd())
    app = application_of(config_path, root)
    own = () if app is None else (root / "src" / "implementations" / app / ".env",)
    files = dict.fromkeys((root / ".env", earlier / ".env", *own))
    layers: dict[str, str] = {}
    for layer in (*map(dotenv_values, files), os.environ if environ is None else environ):
        # An empty variable hides no value of an earlier layer; `${NAME}` may still stand for an empty one.
        layers |= {name: value for name, value in layer.items() if value or (value == "" and name not in layers)}
    try:
        settings = Settings.model_validate({name.lower(): value for name, value in layers.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        raise ConfigError(f"setting {name}: found {first['input']!r}, expected: {first['msg']}") from error
    return RunEnvironment(root, layers, settings, earlier)


def application_of(config_path: Path, root: Path) -> str | None:
    """The application a configuration belongs to: by its folder under src/implementations, else by its file's name
    (`bot_chat.yaml` belongs to bot when there is such a folder)."""
    home = root / "src" / "implementations"
    resolved = config_path.resolve()
    if home in resolved.parents:
        return resolved.relative_to(home).parts[0]
    names = sorted(each.name for each in home.glob("*/") if (each / "__init__.py").exists()) if home.is_dir() else []
    stem = config_path.stem
    return next((name for name in names if stem == name or stem.startswith(f"{name}_")), None)
