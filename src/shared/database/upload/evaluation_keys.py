"""Keys of rows that come without: those of the earlier system's dataframes, by the rule that its tables were brought
over by, so that a row that is there already is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.database.upload.evaluation_tables import dataset, results


def with_keys(table: str, columns: Mapping[str, Sequence[Any]], on_file: bool) -> Mapping[str, Sequence[Any]]:
    """The columns of rows for one of the normalised tables, with the keys they lack: `dataset_id` is their `id`,
    `dataset_key` their `dataset_id`, `result_key` the JSON list of run, id and metric. Other tables' are as they were.
    """
    name = table.rpartition(".")[2]
    if name not in (dataset.name, results.name):
        return columns
    made = dict(columns)
    if "dataset_id" not in made and "id" in made:
        made["dataset_id"] = made["id"]
    if "dataset_key" not in made and "dataset_id" in made:
        made["dataset_key"] = made["dataset_id"]
    parts = ("run_id", "dataset_id", "metric_name")
    if name == results.name and "result_key" not in made and all(part in made for part in parts):
        separators = (",", ":") if on_file else (", ", ": ")
        rows = zip(*(made[part] for part in parts), strict=True)
        made["result_key"] = [_join_parts(row, separators) for row in rows]
    return made


def _join_parts(row: tuple[Any, ...], separators: tuple[str, str]) -> str | None:
    """The list as the database itself writes it; None where a part is missing, which the upload then refuses."""
    if not all(isinstance(part, str) for part in row):
        return None
    return json.dumps(row, ensure_ascii=False, separators=separators)
