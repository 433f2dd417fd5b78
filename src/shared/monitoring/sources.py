"""Thin door: sources under the names that users know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.core.ports import DataSource, SourceContext
from shared.core.records import DatasetItem
from shared.core.registry import load
from shared.monitoring.source_window import split_window_keys, window_params_model

__all__ = ["DataSource", "FileDataSource", "LangfuseDataSource", "SlackDataSource"]


def FileDataSource(
    extract: Callable[[Any], DatasetItem] = DatasetItem.from_dict, name: str = "default", **params: object
) -> DataSource:
    """The file source with the parameters of its YAML (`path`, a window, ...); paths start from the working directory.

    Raises:
        ValueError: (pydantic's) when a parameter is wrong.
    """
    return _make_source("shared.files.file_source:FileSource", f"file:{name}", extract, params)


def LangfuseDataSource(extract: Callable[[Any], DatasetItem], name: str = "default", **params: object) -> DataSource:
    """The Langfuse source with the parameters of its YAML (`base_url`, the keys, a window, ...). A record is a whole
    trace, or a session.

    Raises:
        ValueError: (pydantic's) when a parameter is wrong.
    """
    return _make_source("shared.langfuse.source.trace_source:LangfuseSource", f"langfuse:{name}", extract, params)


def SlackDataSource(
    extract: Callable[[Any], DatasetItem] = DatasetItem.from_dict, name: str = "default", **params: object
) -> DataSource:
    """The Slack source with the parameters of its YAML (`slack_token`, `channel_ids`, a window, ...).

    Raises:
        ValueError: (pydantic's) when a parameter is wrong.
    """
    return _make_source("shared.slack.slack_source:SlackSource", f"slack:{name}", extract, params)


def _make_source(target: str, key: str, extract: Callable[[Any], DatasetItem], given: dict[str, object]) -> DataSource:
    source = load(target)
    window, own = split_window_keys(given, source.Params.model_fields)
    support = source.window_support
    rule = window_params_model(support).model_validate(window).to_rule(support)
    made: DataSource = source(source.Params.model_validate(own), SourceContext(Path.cwd(), key, extract, rule))
    return made
