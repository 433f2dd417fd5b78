"""Reading a file source in tests: the public door, and what came out of it sorted by kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from shared.core.extraction import BrokenRecord, SourceNotice
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.files.file_source import FileSource
from shared.monitoring.source_window import WindowParams, split_window_keys

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Read:
    """What one fetch yielded."""

    items: list[DatasetItem]
    broken: list[str]
    notices: list[str]
    records: list[Any]

    @property
    def ids(self) -> list[str]:
        return [item.id for item in self.items]


def as_item(record: Any) -> DatasetItem:
    """An extractor that keeps the whole record."""
    return DatasetItem(id=str(record.get("id", "no id")), metadata={"record": record})


def source(root: Path, path: str | list[str], extract: Callable[[Any], Any] = as_item, **params: Any) -> FileSource:
    given = params if any("_back" in key or "_timestamp" in key for key in params) else {"window": "all"} | params
    window, own = split_window_keys(given, FileSource.Params.model_fields)
    rule = WindowParams.model_validate(window).to_rule(FileSource.window_support)
    return FileSource(
        FileSource.Params.model_validate({"path": path, **own}), SourceContext(root, "file:test", extract, rule)
    )


def read(root: Path, path: str | list[str], extract: Callable[[Any], Any] = as_item, **params: Any) -> Read:
    records: list[Any] = []

    def noting(record: Any) -> Any:
        item = extract(record)
        records.append(record)
        return item

    found = list(source(root, path, noting, **params).fetch(NOW))
    return Read(
        [each for each in found if isinstance(each, DatasetItem)],
        [str(each) for each in found if isinstance(each, BrokenRecord)],
        [each.text for each in found if isinstance(each, SourceNotice)],
        records,
    )


def jsonl(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def parquet(path: Path, select: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO $1 (FORMAT parquet, ROW_GROUP_SIZE 2048)", [str(path)])
