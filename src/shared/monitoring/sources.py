"""Thin door: sources under the names that users know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.core.ports import DataSource, SourceContext
from shared.core.records import DatasetItem
from shared.core.registry import load

__all__ = ["DataSource", "FileDataSource"]


def FileDataSource(
    extract: Callable[[Any], DatasetItem] = DatasetItem.from_dict, name: str = "default", **params: Any
) -> DataSource:
    """The file source with the parameters of its YAML (`path`, a window, ...); paths start from the working directory.

    Raises:
        ValueError: (pydantic's) when a parameter is wrong.
    """
    source = load("shared.files.source:FileSource")
    made: DataSource = source(source.Params(**params), SourceContext(Path.cwd(), f"file:{name}", extract))
    return made
