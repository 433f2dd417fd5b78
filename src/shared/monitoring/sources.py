"""Thin door: sources under the names that users know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.core.ports import DataSource, SourceContext
from shared.core.records import DatasetItem
from shared.core.registry import load

__all__ = ["DataSource", "FileDataSource", "LangfuseDataSource"]


def FileDataSource(
    extract: Callable[[Any], DatasetItem] = DatasetItem.from_dict, name: str = "default", **params: Any
) -> DataSource:
    """The file source with the parameters of its YAML (`path`, a window, ...); paths start from the working directory.

    Raises:
        ValueError: (pydantic's) when a parameter is wrong.
    """
    return _made("shared.files.file_source:FileSource", f"file:{name}", extract, params)


def LangfuseDataSource(extract: Callable[[Any], DatasetItem], name: str = "default", **params: Any) -> DataSource:
    """The Langfuse source with the parameters of its YAML (`base_url`, the keys, a window, ...). A record is a whole
    trace, or a session.

    Raises:
        ValueError: (pydantic's) when a parameter is wrong.
    """
    return _made("shared.langfuse.source.trace_source:LangfuseSource", f"langfuse:{name}", extract, params)


def _made(target: str, key: str, extract: Callable[[Any], DatasetItem], params: dict[str, Any]) -> DataSource:
    source = load(target)
    made: DataSource = source(source.Params(**params), SourceContext(Path.cwd(), key, extract))
    return made
