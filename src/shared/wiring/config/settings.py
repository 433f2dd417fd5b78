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

_MARKERS = ("pyproject.toml", ".git", ".env")


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
    """Where a run takes place: the folder that relative paths start from, all variables, and the settings."""

    root: Path
    variables: Mapping[str, str]
    settings: Settings


def project_root(start: Path, fallback: Path) -> Path:
    """The nearest folder at or above `start` that holds a project (pyproject.toml, .git or .env); else `fallback`."""
    for folder in (start, *start.parents):
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    return fallback


def read_environment(config_path: Path, environ: Mapping[str, str] | None = None) -> RunEnvironment:
    """Read the layers for a configuration file; later layers win.

    Raises:
        ConfigError: when a setting has a value of the wrong type.
    """
    root = project_root(config_path.resolve().parent, Path.cwd())
    files = [root / ".env"]
    app = application_of(config_path, root)
    if app is not None:
        files.append(root / "src" / "implementations" / app / ".env")
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
    return RunEnvironment(root, layers, settings)


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
