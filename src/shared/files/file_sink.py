"""The sink `file`: one file of rows per batch, written whole or not at all."""

from __future__ import annotations

import asyncio
import csv
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.core.clock import iso
from shared.core.digests import to_plain
from shared.core.errors import ConfigError, StoreError
from shared.core.ports import Batch
from shared.core.private_files import create_private_file, make_private_folder
from shared.core.results import ItemResult, MetricFailure, MetricScore
from shared.files.duckdb_reader import escape_glob
from shared.files.spreadsheet_cells import readable_cell

_TEXTS = (
    "run_id", "monitor", "environment", "version", "item_id", "trace_id", "observation_id", "session_id",
    "label", "class", "metric_version", "metric_digest", "explanation", "kind", "parent", "model",
    "failure_kind", "failure_message", "source_timestamp",
)  # fmt: skip
_NUMBERS = ("value", "threshold", "weight", "cost", "proxy", "chance")
_JSON = ("signals", "publishing")

COLUMNS = (
    "run_id", "monitor", "environment", "version", "item_id", "trace_id", "observation_id", "session_id",
    "label", "class", "metric_version", "metric_digest", "value", "passed", "threshold", "explanation", "signals",
    "kind", "parent", "weight", "cost", "model", "failure_kind", "failure_message", "source_timestamp", "publishing",
    "proxy", "chance",
)  # fmt: skip
"""The columns of every row, in order. A row with a `failure_kind` is a failure and has no value."""


class FileSinkParams(BaseModel):
    """Parameters of the sink `file`. A relative `directory` starts from the project's root."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    directory: str = Field(min_length=1, description="Folder for the files; made when absent.")
    format: Literal["jsonl", "csv", "parquet"] = Field(
        default="jsonl", description="One row per item and score or failure."
    )


class FileSink:
    """Writes `<directory>/<monitor>/scores-<batch id>.<format>`, so that the same batch again replaces its own file."""

    Params = FileSinkParams

    def __init__(self, params: FileSinkParams, root: Path) -> None:
        self.name = f"file:{params.directory}"
        self._format = params.format
        self._directory = Path(root) / params.directory

    async def publish(self, batch: Batch) -> None:
        """Write the batch's rows; on return they are on the disk under their final name.

        Raises:
            StoreError: when the folder or the file cannot be written (read-only, full disk); an older copy stands.
        """
        await asyncio.to_thread(self._write, batch)

    def path(self, batch: Batch) -> Path:
        """Where the batch's rows go."""
        return self._directory / _safe_name(batch.run.monitor) / f"scores-{_safe_name(batch.id)}.{self._format}"

    def _write(self, batch: Batch) -> None:
        target = self.path(batch)
        try:
            make_private_folder(target.parent)
            _replace(target, rows_of(batch), _WRITERS[self._format])
        except OSError as error:
            raise StoreError(
                f"{target}: the scores cannot be written: {error.strerror or error}; free space or make the folder "
                "writable, then run again: nothing of this batch is marked as done"
            ) from error


def rows_of(batch: Batch) -> Iterator[dict[str, Any]]:
    """The batch as rows of plain values with the keys of `COLUMNS`: scores of an item first, then its failures."""
    run = batch.run
    common = {
        "run_id": run.run_id,
        "monitor": run.monitor,
        "environment": run.config.environment,
        "version": run.config.version,
        "publishing": to_plain(run.config.publishing),
    }
    for result in batch.results:
        base = common | _item_cells(result)
        for score in result.scores:
            yield _order_cells(base | _score_cells(score))
        for failure in result.failures:
            cells = {"failure_kind": failure.kind, "failure_message": failure.message}
            yield _order_cells(base | _metric_cells(failure) | cells)


def _order_cells(cells: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cells.get(name) for name in COLUMNS}


def _item_cells(result: ItemResult) -> dict[str, Any]:
    item = result.item
    return {
        "item_id": item.id,
        "trace_id": item.trace_id,
        "observation_id": item.observation_id,
        "session_id": item.session_id,
        "source_timestamp": None if item.source_timestamp is None else iso(item.source_timestamp),
    }


def _metric_cells(made: MetricScore | MetricFailure) -> dict[str, Any]:
    metric = made.metric
    return {
        "label": metric.label,
        "class": metric.name,
        "metric_version": metric.version,
        "metric_digest": metric.digest,
    }


def _score_cells(score: MetricScore) -> dict[str, Any]:
    names = (
        "value", "passed", "threshold", "explanation", "kind", "parent", "weight", "cost", "model", "proxy", "chance",
    )  # fmt: skip
    cells = {name: getattr(score, name) for name in names}
    return _metric_cells(score) | cells | {"signals": None if score.signals is None else to_plain(score.signals)}


def _safe_name(name: str) -> str:
    """A name as one part of a path: nothing in it can climb out of the folder, and two names stay two."""
    kept = re.sub(r"[^\w.\- ]", lambda found: f"%{ord(found.group()):02X}", name.replace("%", "%25"))
    return kept if kept.strip(". ") else "%" + kept.replace(".", "%2E").replace(" ", "%20")


def _replace(
    target: Path, rows: Iterator[dict[str, Any]], write: Callable[[Path, Iterator[dict[str, Any]]], None]
) -> None:
    """Write beside the target, flush to the disk, then rename: a reader or a crash never sees half a file."""
    temporary = target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        create_private_file(temporary)
        write(temporary, rows)
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _json(value: object) -> str:
    """JSON that every reader takes: numbers that are none (NaN, infinities) are null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list) else value


def _write_jsonl(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as handle:
        for row in rows:
            handle.write(_json(row) + "\n")


def _write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        for row in rows:
            texts = row | {name: _json(row[name]) for name in _JSON if row[name] is not None}
            writer.writerow(
                {name: readable_cell(each) if isinstance(each, str) else each for name, each in texts.items()}
            )


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError("file sink: `format: parquet` needs DuckDB, which is absent: pip install duckdb") from error
    source = path.with_suffix(".jsonl")
    types = dict.fromkeys(_TEXTS, "VARCHAR") | dict.fromkeys(_NUMBERS, "DOUBLE") | dict.fromkeys(_JSON, "JSON")
    types["passed"] = "BOOLEAN"
    columns = {name: types[name] for name in COLUMNS}
    try:
        create_private_file(source)
        _write_jsonl(source, rows)
        with duckdb.connect(":memory:", config={"temp_directory": ""}) as connection:
            sql = "COPY (SELECT * FROM read_ndjson($1, columns = $2)) TO $3 (FORMAT parquet, USE_TMP_FILE false)"
            connection.execute(sql, [escape_glob(str(source)), columns, str(path)])
    except duckdb.Error as error:
        raise OSError(str(error).splitlines()[0]) from error
    finally:
        source.unlink(missing_ok=True)


_WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
