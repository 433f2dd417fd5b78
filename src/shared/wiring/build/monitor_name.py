"""The name of a monitor whose configuration gives none: its file's, so that two files have two histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from shared.core.counts import Information
from shared.core.results import RunReport, Stream
from shared.wiring.build.build_context import LoadedConfig
from shared.wiring.build.state_location import StateLocation
from shared.wiring.config.checker import Checker
from shared.wiring.config.find_config import display_path, known_configs
from shared.wiring.config.monitor_config import checked_name

EARLIER_NAME = "online_monitoring"
"""The name of every monitor without one, in earlier versions."""

_PAST = 50  # runs of the earlier name that are looked at


def resolve_name(
    loaded: LoadedConfig, path: Path, key: str, locate: Callable[[Stream], StateLocation], checker: Checker
) -> tuple[str, str]:
    """The monitor's name, and a note about it; `key` is the source's, and `locate` gives the state of a stream.

    A history that this configuration has under the earlier default name goes on.

    Raises:
        StoreError: when the state cannot be read.
    """
    if loaded.values.name:
        return loaded.values.name, ""
    try:
        name = checked_name(path.resolve().stem)
    except ValueError as error:
        checker.problem(("name",), f"the file's name cannot be the monitor's: {error}; set `name`")
        return path.stem, ""
    if (other := _find_namesake(path, loaded.environment.root)) is not None:
        text = f"{display_path(other)} has the same file name and no `name` either: both would have one history"
        checker.problem(("name",), f"{text}; set `name`")
    stream, earlier = Stream(key, name), Stream(key, EARLIER_NAME)
    if locate(stream).has_history(stream) or not _has_earlier_history(loaded, earlier, locate(earlier)):
        return name, ""
    return EARLIER_NAME, Information(
        "this monitor has no `name`; its history under the default name of earlier versions goes on. To keep it, write"
        f" `name: {EARLIER_NAME}` into the file"
    )


def _find_namesake(path: Path, root: Path) -> Path | None:
    """Another file of that name in the project: where configurations are, or in a folder beside this one's."""
    mine = path.resolve()
    beside = (each for folder in mine.parent.parent.glob("*/") for each in folder.glob(f"{mine.stem}.y*ml"))
    known = (each for each in known_configs().values() if each.stem == mine.stem)
    for other in (*beside, *known):
        if other.resolve() != mine and other.is_relative_to(root) and _is_nameless_monitor(other):
            return other
    return None


def _is_nameless_monitor(path: Path) -> bool:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(found, dict) and {"source", "metrics_config"} <= found.keys() and "name" not in found


def _has_earlier_history(loaded: LoadedConfig, stream: Stream, state: StateLocation) -> bool:
    """Whether this configuration made the history of a stream that several configurations may have used."""
    if not state.has_history(stream):
        return False
    stores = state.open_to_read()
    try:
        runs = stores.reader.runs.newest_runs(stream, _PAST)
    finally:
        stores.close()
    return not runs or any(_was_made_by(loaded, run) for run in runs)


def _was_made_by(loaded: LoadedConfig, run: RunReport) -> bool:
    """Whether a run has the same source as the configuration, and one of its metrics."""
    mine, theirs = (next(_documents(text), {}) for text in (loaded.document.text, run.config.text))
    metrics = [set(each.get("metrics_config") or ()) for each in (mine, theirs)]
    return mine.get("source") == theirs.get("source") and bool(metrics[0] & metrics[1])


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if isinstance(found, dict):
        yield found
