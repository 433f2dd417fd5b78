"""A GitHub workflow of a public repository keeps what it stores in caches and artifacts that strangers can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from shared.core.errors import ConfigError
from shared.wiring.build.state_location import StateLocation

_RAW_STATE = (
    "this workflow runs in a public repository, and {state} holds the texts of traces: caches and artifacts of a "
    "public repository can be read by others."
)


def check_public_repository(state: StateLocation, redacts: bool, variables: Mapping[str, str]) -> str:
    """A note when a workflow of a public repository keeps raw state in a file although output is redacted; else empty.

    Raises:
        ConfigError: when nothing is redacted either.
    """
    if state.on_server or not in_public_repository(variables):
        return ""
    found = _RAW_STATE.format(state=state)
    if redacts:
        return f"{found} SAFE_MODE redacts reports and sinks only; keep the state on Postgres (scored_store)"
    raise ConfigError(
        f"{found} Nothing was run. Keep the state on Postgres (`scored_store: {{type: postgres, url: ...}}`), make the "
        "repository private, or set SAFE_MODE=1, which redacts reports and sinks"
    )


def in_public_repository(variables: Mapping[str, str]) -> bool:
    """Whether this is a GitHub workflow of a public repository, by the event that GitHub describes in a file."""
    path = variables.get("GITHUB_EVENT_PATH", "")
    if variables.get("GITHUB_ACTIONS") != "true" or not path:
        return False
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # without a description nothing is known
    repository = event.get("repository") if isinstance(event, dict) else None
    return isinstance(repository, dict) and repository.get("private") is False
