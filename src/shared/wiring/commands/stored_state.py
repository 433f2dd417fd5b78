"""What commands that only read have in common: the stored state, one run of it, and values as JSON holds them."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.core.digests import to_plain
from shared.core.errors import UsageError
from shared.core.results import RunReport
from shared.core.state.run_stores import RunReader
from shared.report.terminal.run_summary import writable
from shared.wiring.build.state_location import OpenStores, StateLocation

PAST = 1000
"""Runs looked at to complete the beginning of an id."""


def require_state(state: StateLocation) -> None:
    """Check that a monitor has run.

    Raises:
        UsageError: when there is no state yet.
    """
    if not state.exists():
        raise UsageError(f"{state}: there is no state yet; run the monitor first")


@contextmanager
def open_stored_state(state: StateLocation) -> Iterator[OpenStores]:
    """The stores of a monitor that has run, closed afterwards.

    Raises:
        UsageError: when there is no state yet. StoreError: when it cannot be opened.
    """
    require_state(state)
    stores = state.open_to_read()
    try:
        yield stores
    finally:
        stores.close()


def find_run(reader: RunReader, monitor: str, given: str) -> RunReport:
    """The run of that id, or the only one of the monitor whose id begins so.

    Raises:
        UsageError: when there is none, or several.
    """
    found = reader.read_run(given)
    if found is not None:
        return found
    mine = reader.newest_runs(monitor, limit=PAST)
    close = [run for run in mine if given and run.run_id.startswith(given)]
    if len(close) == 1:
        return close[0]
    names = ", ".join(run.run_id for run in (close or mine)[:5]) or "none"
    if close:
        raise UsageError(f"run {given!r} is the beginning of {len(close):,} ids, such as {names}; give more of it")
    raise UsageError(f"run {given!r} is not known. The newest of this monitor: {names}")


def json_values(value: object) -> Any:
    """As JSON can hold it: every record with the names of its parts, NaN and infinity as null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: json_values(inner) for key, inner in value._asdict().items()}
    if dataclasses.is_dataclass(value):
        return {each.name: json_values(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): json_values(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [json_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else to_plain(value)


def print_json(value: object) -> None:
    """Print it as JSON."""
    print(json.dumps(json_values(value), ensure_ascii=False, indent=2))


def print_text(text: str) -> None:
    """Print it in letters that standard output can write."""
    sys.stdout.write(writable(text, sys.stdout))
