from __future__ import annotations

import asyncio
import csv
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shared.core.errors import StoreError
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.files.file_sink import COLUMNS, FileSink

FORMULAS = {
    '=HYPERLINK("http://127.0.0.1/?"&A1)': '\'=HYPERLINK("http://127.0.0.1/?"&A1)',
    "+1+cmd|' /C calc'!A0": "'+1+cmd|' /C calc'!A0",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM(A1)",
    "  =1+1": "'  =1+1",
    "\uff1d1+1": "'\uff1d1+1",
    "\t=1+1": "'\t=1+1",
    "\r=1+1": "'\\x0d=1+1",
    "bell \x07 and \x1b[31m and \x9b": "bell \\x07 and \\x1b[31m and \\x9b",
    "two\r\nlines, a\ttab": "two\nlines, a\ttab",
    "-5.5": "-5.5",
    "a = b": "a = b",
}
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
REF = MetricRef("Right", "exact_match", "1", "abc")


def batch(name: str = "b1", monitor: str = "athena", items: int = 2) -> Batch:
    stream = Stream("file:athena", monitor)
    score = MetricScore(REF, 0.5, False, 0.7, 'said "no",\nthen é', {"k": [1, float("nan")]}, cost=0.25)
    failure = MetricFailure(REF, "i1", "TimeoutError", "took 30 s")
    results = tuple(
        ItemResult(DatasetItem(id=f"i{n}", trace_id="t", source_timestamp=AT), (score,), (failure,) if n else ())
        for n in range(items)
    )
    run = RunReport("run-1", monitor, stream, RunConfig("digest", "2", publishing={"component": "chat"}), "running", AT)
    return Batch(name, stream, results, run)


def publish(root: Path, what: Batch, **params: Any) -> FileSink:
    sink = FileSink(FileSink.Params(**({"directory": "out"} | params)), root)
    asyncio.run(sink.publish(what))
    return sink


def test_rows_hold_all_that_was_said(tmp_path: Path) -> None:
    """One row per item and score or failure, with the run's publishing metadata and valid JSON for NaN."""
    publish(tmp_path, batch())
    text = (tmp_path / "out/athena/scores-b1.jsonl").read_text()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    assert [row["item_id"] for row in rows] == ["i0", "i1", "i1"]
    first, _, failed = rows
    assert (first["label"], first["class"], first["metric_version"], first["metric_digest"]) == (
        "Right",
        "exact_match",
        "1",
        "abc",
    )
    assert (first["value"], first["passed"], first["threshold"], first["cost"]) == (0.5, False, 0.7, 0.25)
    assert first["signals"] == {"k": [1, None]}
    assert first["source_timestamp"] == "2026-03-10T12:00:00.000000Z"
    assert first["publishing"] == {"component": "chat"}
    assert (failed["failure_kind"], failed["failure_message"], failed["value"]) == ("TimeoutError", "took 30 s", None)


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    """The format changes the file, not the rows."""
    for form in ("jsonl", "csv", "parquet"):
        publish(tmp_path, batch(), format=form)
    folder = tmp_path / "out" / "athena"
    rows = [json.loads(line) for line in (folder / "scores-b1.jsonl").read_text().splitlines()]
    with (folder / "scores-b1.csv").open(newline="") as handle:
        cells = list(csv.DictReader(handle))
    assert [(row["explanation"], row["value"]) for row in cells] == [
        (row["explanation"] or "", "" if row["value"] is None else str(row["value"])) for row in rows
    ]
    assert json.loads(cells[0]["signals"]) == {"k": [1, None]}
    with duckdb.connect() as connection:
        table = connection.execute("SELECT * FROM read_parquet($1)", [str(folder / "scores-b1.parquet")])
        names = [each[0] for each in table.description or ()]
        stored = [dict(zip(names, row, strict=True)) for row in table.fetchall()]
    for row in stored:
        row["signals"] = row["signals"] and json.loads(row["signals"])
        row["publishing"] = json.loads(row["publishing"])
    assert stored == rows
    assert sorted(os.listdir(folder)) == ["scores-b1.csv", "scores-b1.jsonl", "scores-b1.parquet"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_the_same_batch_twice_leaves_one_copy(tmp_path: Path, form: str) -> None:
    """A batch that comes again after a crash replaces itself."""
    sink = publish(tmp_path, batch(), format=form)
    before = sink.path(batch()).read_bytes()
    publish(tmp_path, batch(), format=form)
    publish(tmp_path, batch("b2"), format=form)
    assert len(os.listdir(tmp_path / "out/athena")) == 2
    assert form == "parquet" or sink.path(batch()).read_bytes() == before


def test_an_empty_batch_writes_a_readable_file(tmp_path: Path) -> None:
    """No rows is no error, in any format."""
    for form in ("jsonl", "csv", "parquet"):
        assert publish(tmp_path, batch(items=0), format=form).path(batch()).exists()


@pytest.mark.parametrize("name", ["../../escape", "a/b", "..", "", ".", "a\0b", "é %2F", "a:b|c"])
def test_names_stay_inside_of_the_folder(tmp_path: Path, name: str) -> None:
    """Monitor and batch names come from users; none may climb out, and no two may meet."""
    sink = publish(tmp_path / "root", batch(name, monitor=name))
    assert sink.path(batch(name, monitor=name)).parent.parent == tmp_path / "root" / "out"
    assert os.listdir(tmp_path) == ["root"]
    assert sink.path(batch("a/b")) != sink.path(batch("a%2Fb"))


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_full_disk_names_the_path_and_leaves_the_old_copy(tmp_path: Path, form: str) -> None:
    """A failed write is loud, leaves no temporary file and does not touch what is there."""
    sink = publish(tmp_path, batch(), format=form)
    before = sink.path(batch()).read_bytes()
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal = pytest.importorskip("signal")
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"scores-b1\.\w+: the scores cannot be written"):
            asyncio.run(sink.publish(batch(items=500)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert sink.path(batch()).read_bytes() == before
    assert os.listdir(tmp_path / "out/athena") == [f"scores-b1.{form}"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be (or a read-only folder) is named."""
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StoreError, match=r"out/athena/scores-b1\.jsonl"):
        publish(tmp_path, batch())


def test_a_read_only_folder(tmp_path: Path) -> None:
    """No permission to write is told with the path."""
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:  # root is refused nothing
        os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match=r"scores-b1\.jsonl: the scores cannot be written: Permission denied"):
            publish(tmp_path, batch())
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(("text", "cell"), FORMULAS.items())
def test_a_csv_runs_nothing_in_a_spreadsheet(tmp_path: Path, text: str, cell: str) -> None:
    """Texts that a spreadsheet would run, and control characters, are made harmless; numbers stay numbers."""
    score = MetricScore(MetricRef(text, "exact_match", "1", "abc"), -0.5, False, 0.7, text, {"k": "\x9b"})
    made = replace(batch(items=1), results=(ItemResult(DatasetItem(id=text, trace_id=text), (score,)),))
    publish(tmp_path, made, format="csv")
    with (tmp_path / "out/athena/scores-b1.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert [row[name] for name in ("item_id", "trace_id", "label", "explanation")] == [cell] * 4
    assert (row["value"], row["signals"]) == ("-0.5", '{"k": "\\x9b"}')
