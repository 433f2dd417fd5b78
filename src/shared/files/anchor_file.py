"""The anchor set: a frozen file of items with human labels, judged again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.core.best_effort import attempt
from shared.core.errors import SourceError
from shared.core.human_labels import AnchorSet
from shared.core.records import DatasetItem
from shared.files.discovery import FileSourceParams, find_files
from shared.files.file_labels import verdict_of
from shared.files.file_source import read_records

_SHOWN = 20


def read_anchors(path: str, root: Path, extract: Callable[[Any], DatasetItem]) -> AnchorSet:
    """Read one file of records; each is what `extract` takes, with a key `labels: {claim: value}` besides.

    Raises:
        SourceError: when the file cannot be read, is empty, or a record cannot be used; each is named with its line.
    """
    params = FileSourceParams(path=path)
    files = find_files(params, root)
    if len(files) != 1:
        raise SourceError(f"{path}: expected one file, found {len(files)}: an anchor set is frozen as one")
    items: dict[str, DatasetItem] = {}
    labels: dict[str, dict[str, float]] = {}
    flaws: list[str] = []
    for where, record, broken in read_records(params, root):
        flaw = broken if record is None else _take(record, extract, items, labels)
        if flaw:
            flaws.append(f"{where}: {flaw}")
    if flaws:
        raise SourceError("anchors that cannot be used:\n" + "\n".join(flaws[:_SHOWN]))
    if not items:
        raise SourceError(f"{path}: no items in it; expected some, each with labels: {{metric's label: value}}")
    with files[0].open() as handle:
        digest = hashlib.sha256(handle.read()).hexdigest()
    return AnchorSet(digest, tuple(items.values()), labels)


def _take(
    record: Mapping[str, Any],
    extract: Callable[[Any], DatasetItem],
    items: dict[str, DatasetItem],
    labels: dict[str, dict[str, float]],
) -> str:
    """Take a record in; what is wrong with it, empty for nothing."""
    item = attempt(extract, {key: value for key, value in record.items() if key != "labels"})
    if isinstance(item, Exception):
        return f"the extractor failed: {type(item).__name__}: {item}"
    if not isinstance(item, DatasetItem):
        return f"the extractor gave {item!r}; expected an item from every record of an anchor set"
    if item.id in items:
        return f"the id {item.id!r} stands here twice"
    given = record.get("labels") or {}
    if not isinstance(given, Mapping):
        return f"labels: expected {{metric's label: value}}, found {given!r}"
    for claim, raw in given.items():
        value = verdict_of(raw)
        if isinstance(value, str):
            return f"labels.{claim}: {value}"
        labels.setdefault(str(claim), {})[item.id] = value
    items[item.id] = item
    return ""
