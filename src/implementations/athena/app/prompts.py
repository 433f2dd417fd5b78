"""Prompts are files with a version: `prompts/<name>_v<version>.txt`, with `{{ variable }}` places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "prompts"
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def load_prompt(name: str, version: int) -> str:
    """The template's text without its last line break.

    Raises:
        ValueError: when there is no such prompt, naming those there are.
    """
    path = _FOLDER / f"{name}_v{version}.txt"
    if not path.is_file():
        raise ValueError(f"no prompt {path.name!r}; known: {sorted(each.name for each in _FOLDER.glob('*.txt'))}")
    return path.read_text(encoding="utf-8").removesuffix("\n")


def fill(template: str, variables: Mapping[str, str]) -> str:
    """The template with every place filled; text that comes in is put in once and not read for places again.

    Raises:
        ValueError: when a place has no variable.
    """
    missing = sorted(set(_PLACE.findall(template)) - set(variables))
    if missing:
        raise ValueError(f"the prompt needs {missing}, given were {sorted(variables)}")
    return _PLACE.sub(lambda place: variables[place.group(1)], template)
