"""Thin door: the store of scored items in a CSV, under the name that users know."""

from __future__ import annotations

import os
from typing import cast

from shared.core.registry import load
from shared.core.state.run_stores import ScoredItemsStore as Port


def ScoredItemsStore(file_path: str | os.PathLike[str] = "data/scored_items.csv") -> Port:
    """The append-only CSV store at `file_path`; nothing is read or written until it is asked."""
    return cast(Port, load("shared.files.scored_csv:CsvScoredItems")(file_path))
