"""The label source `file`: human labels from JSONL, JSON, CSV and Parquet files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.core.clock import parse_time
from shared.core.errors import SourceError
from shared.core.human_labels import HumanLabel
from shared.core.registry import hint
from shared.files.discovery import FileSourceParams, Format
from shared.files.file_source import read_records

COLUMNS = ("item_id", "metric", "value", "at", "who")
"""What a row may hold; the last two may be missing. Older files call the metric's name `label`."""

_WORDS = {
    **dict.fromkeys(("true", "yes", "pass", "passed", "good", "right", "up", "thumbsup", "thumbs_up", "+1", "👍"), 1.0),
    **dict.fromkeys(("false", "no", "fail", "failed", "bad", "wrong", "down", "thumbsdown", "thumbs_down", "👎"), 0.0),
}
_SHOWN = 20


class FileLabelsParams(BaseModel):
    """Parameters of the label source `file`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str | list[str] = Field(description="file or glob with columns item_id, metric, value, and maybe at, who")
    format: Literal["auto"] | Format = Field(default="auto", description="auto: by the name's ending")


class FileLabels:
    """Labels in files: rows with `item_id`, `metric` (its name), `value` and, where known, `at` and `who`.

    `value` is a number in [0, 1], true or false, or a word such as pass, fail, good, bad, 👍, 👎. Strict: one row that
    cannot be understood makes the whole source fail, with every such row named, for a judge measured against half of
    the labels would be measured wrongly.
    """

    Params = FileLabelsParams

    def __init__(self, params: FileLabelsParams, root: Path) -> None:
        self._files = FileSourceParams(path=params.path, format=params.format)
        self._root = root
        self.name = f"file {', '.join(self._files.patterns)}"

    def labels(self, since: datetime | None = None) -> Iterator[HumanLabel]:
        """Every label, or those given at `since` or later and those without a time.

        Raises:
            SourceError: when a file cannot be read, or for rows that cannot be understood, each with file and line.
        """
        found, flaws = [], []
        for where, record, flaw in read_records(self._files, self._root):
            label = flaw if record is None else _read_label(record)
            if isinstance(label, str):
                flaws.append(f"{where}: {label}")
            elif since is None or label.at is None or label.at >= since:
                found.append(label)
        if flaws:
            more = [f"and {len(flaws) - _SHOWN} more rows"] if len(flaws) > _SHOWN else []
            raise SourceError("labels that cannot be understood:\n" + "\n".join(flaws[:_SHOWN] + more))
        yield from found


def _read_label(record: Mapping[str, Any]) -> HumanLabel | str:
    """The label of a row, or what is wrong with it."""
    if "label" in record and "metric" not in record:
        record = {("metric" if key == "label" else key): value for key, value in record.items()}
    unknown = [key for key in record if key not in COLUMNS]
    if unknown:
        return f"unknown column {unknown[0]!r}. {hint(unknown[0], COLUMNS)}"
    missing = [key for key in COLUMNS[:3] if record.get(key) in (None, "")]
    if missing:
        return f"no {missing[0]!r}; expected item_id, metric and value in every row"
    value = verdict_of(record["value"])
    if isinstance(value, str):
        return f"value: {value}"
    try:
        at = None if record.get("at") in (None, "") else parse_time(record["at"])
    except ValueError as error:
        return f"at: {error}"
    return HumanLabel(str(record["item_id"]), str(record["metric"]), value, at, str(record.get("who") or ""))


def verdict_of(raw: object) -> float | str:
    """A human label as a number in [0, 1], or what is wrong with it."""
    expected = "expected a number from 0 to 1, true or false, or a word such as pass, fail, good, bad"
    if isinstance(raw, str):
        word = raw.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            raw = float(word)
        except ValueError:
            return f"found {raw!r}; {expected}"
    if isinstance(raw, int | float) and math.isfinite(raw) and 0 <= raw <= 1:
        return float(raw)
    return f"found {raw!r}; {expected}"
