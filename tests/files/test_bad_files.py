from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import SourceError
from tests.files.reads import jsonl, parquet, read

TWO = '{"id": "a"}\n{"id": "b"}\n'


def refused(root: Path, path: str, **params: Any) -> str:
    with pytest.raises(SourceError) as error:
        read(root, path, **params)
    return str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """A wrong path is told with the place that was looked at."""
    text = refused(tmp_path, "traces/none.jsonl")
    assert "traces/none.jsonl: no such file" in text
    assert str(tmp_path) in text and "is missing too" in text


def test_a_glob_without_a_match(tmp_path: Path) -> None:
    """A glob that matches nothing is an error, not an empty run."""
    (tmp_path / "x.jsonl").mkdir()
    assert "the glob matches no file" in refused(tmp_path, "*.json")
    assert "matches 1 folder(s), but no file" in refused(tmp_path, "*.jsonl")


def test_a_folder_and_a_pipe(tmp_path: Path) -> None:
    """What is no file is refused; a pipe must not hang the run."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "deep").mkdir()
    assert "deep: is a folder; name its files, such as deep/*.jsonl" in refused(tmp_path, "deep")
    assert "not a regular file" in refused(tmp_path, "pipe.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_no_permission(tmp_path: Path, name: str) -> None:
    """A file that may not be read is named as such."""
    path = tmp_path / name
    path.write_text(TWO)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        assert "no permission to read it" in refused(tmp_path, name)
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.json.gz"])
@pytest.mark.parametrize("cut", [20, -1, -8])
def test_a_truncated_gzip_yields_nothing(tmp_path: Path, name: str, cut: int) -> None:
    """What stands before the cut must never be taken for the whole."""
    packed = gzip.compress(jsonl({"id": str(number)} for number in range(500)).encode())
    (tmp_path / name).write_bytes(packed[:cut])
    assert "truncated or damaged" in refused(tmp_path, name)


def test_a_gzip_with_a_wrong_checksum_or_no_gzip_at_all(tmp_path: Path) -> None:
    """DuckDB checks no checksum of a gzip; the survey before it does."""
    packed = bytearray(gzip.compress(TWO.encode()))
    packed[-7] ^= 1
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    (tmp_path / "b.jsonl.gz").write_text(TWO)
    assert "truncated or damaged" in refused(tmp_path, "a.jsonl.gz")
    assert "truncated or damaged" in refused(tmp_path, "b.jsonl.gz")


RECORDS: list[dict[str, Any]] = [
    {"id": "a", "timestamp": "2026-01-02"},
    {"id": "b", "metadata": {"c": [1, {"d": "], "}, 2]}},
    {"id": "c"},
]
WAYS: list[dict[str, Any]] = [{}, {"limit": 2}, {"from_timestamp": "2026-01-01"}]


@pytest.mark.parametrize("params", WAYS)
def test_a_json_array_cut_anywhere_is_refused(tmp_path: Path, params: dict[str, Any]) -> None:
    """Behind a comma, inside a nested object, behind a key: 600 of 1,000 records are never taken for all."""
    whole = json.dumps(RECORDS)
    for name, pack in (("a.json", bytes), ("a.json.gz", gzip.compress)):
        for cut in range(1, len(whole)) if name == "a.json" else (whole.index(', {"id": "b"') + 1, len(whole) - 1):
            (tmp_path / name).write_bytes(pack(whole[:cut].encode() + b" \n"))
            assert name in refused(tmp_path, name, **params), whole[:cut]
    records = ",".join(json.dumps({"id": str(number), "query": "x" * 1000}) for number in range(3000))
    (tmp_path / "large.json").write_text(f"[{records},")
    assert "cut off, it ends with ','" in refused(tmp_path, "large.json", **params)


def test_an_object_and_lines_that_are_cut_are_noticed(tmp_path: Path) -> None:
    """The object with a list inside is refused; of JSON Lines the last one is named as broken."""
    whole = json.dumps({"data": RECORDS})
    for cut in range(1, len(whole)):
        (tmp_path / "o.json").write_text(whole[:cut])
        assert "o.json" in refused(tmp_path, "o.json")
    lines = jsonl(RECORDS)
    last = lines.index('{"id": "c"')
    for cut in range(last + 1, len(lines) - 1):
        (tmp_path / "l.jsonl").write_text(lines[:cut])
        found = read(tmp_path, "l.jsonl")
        assert found.ids == ["a", "b"] and len(found.broken) == 1, lines[:cut]


def test_a_corrupt_parquet(tmp_path: Path) -> None:
    """A Parquet file without its footer cannot be read at all."""
    parquet(tmp_path / "a.parquet", "SELECT 1 AS id")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:-6])
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(whole))
    assert "a.parquet: cannot be read as parquet" in refused(tmp_path, "a.parquet")
    assert "unpack the .gz" in refused(tmp_path, "a.parquet.gz")


def test_a_format_that_the_name_does_not_tell(tmp_path: Path) -> None:
    """No guess from the content: the user says the format."""
    (tmp_path / "a.log").write_text(TWO)
    assert "'.log' names no format" in refused(tmp_path, "a.log")
    assert read(tmp_path, "a.log", format="jsonl").ids == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", ""),
        ("a.jsonl", "\n \r\n"),
        ("a.jsonl", "\ufeff"),
        ("a.csv", ""),
        ("a.csv", "id,query\n\n"),
        ("a.json", ""),
        ("a.json", "[ ]"),
        ("a.json", '{"data": []}'),
        ("a.jsonl.gz", ""),
        ("a.parquet", ""),
    ],
)
def test_an_empty_file_is_told_and_no_error(tmp_path: Path, name: str, content: str) -> None:
    """Nothing there is not a failure, but the user must hear of it."""
    (tmp_path / name).write_text(content)
    (tmp_path / "full.jsonl").write_text(TWO)
    found = read(tmp_path, [name, "full.jsonl"])
    assert found.notices == [f"{name} is empty"]
    assert (found.ids, found.broken) == (["a", "b"], [])


def test_a_parquet_without_rows_is_empty(tmp_path: Path) -> None:
    """A header only is an empty file in Parquet too."""
    parquet(tmp_path / "a.parquet", "SELECT 1 AS id WHERE false")
    assert read(tmp_path, "a.parquet").notices == ["a.parquet is empty"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"id": 1}, {"id":', "cannot be read as json"),
        ('[{"id": 1}, {bad}]', "cannot be read as json"),
        ('{"rows": []}', "found an object with the keys 'rows'"),
        ("5", "found a number"),
        ('{"id": 1}\n{"id": 2}\n', "set `format: jsonl`"),
        ("plain text", "not one JSON value"),
    ],
)
def test_json_that_is_no_list_of_records(tmp_path: Path, content: str, said: str) -> None:
    """A JSON file that is broken as a whole says so, and what to write instead."""
    (tmp_path / "a.json").write_text(content)
    assert said in refused(tmp_path, "a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,id\n1,2\n", "names 'id' more than once"),
        ('id,"qu\n1,2\n', "the header is not CSV"),
        ('id,query\n1,x\n2,"open\n3,y\n', "a.csv:3: a quote opened"),
    ],
)
def test_csv_that_cannot_be_told_into_rows(tmp_path: Path, content: str, said: str) -> None:
    """An unclosed quote would swallow the rest of the file as one broken row; it stops the run instead."""
    (tmp_path / "a.csv").write_text(content)
    assert said in refused(tmp_path, "a.csv")


def test_a_table_without_the_column_of_the_window(tmp_path: Path) -> None:
    """When no row can have a time, one error with the known columns says more than a thousand broken rows."""
    (tmp_path / "a.csv").write_text("id,when\n1,2026-03-01\n")
    parquet(tmp_path / "a.parquet", 'SELECT 1 AS id, now() AS "when"')
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(SourceError, match=r"no column 'timestamp' for the window; found 'id', 'when'"):
            read(tmp_path, name, days_back=1)


@pytest.mark.parametrize("name", ["bomb.jsonl.gz", "bomb.json.gz", "bomb.csv.gz"])
def test_a_gzip_bomb_is_refused(tmp_path: Path, name: str) -> None:
    """A gzip that expands without bound is named after a few seconds, and is never in memory."""
    with gzip.open(tmp_path / name, "wb", compresslevel=9) as file:
        for _ in range(400):
            file.write(b" " * 1024**2)
    assert f"{name}: its " in (text := refused(tmp_path, name)) and "unpack to more than 2" in text


def test_an_endless_line_is_one_broken_record(tmp_path: Path) -> None:
    """A line larger than a record may be is skipped piece by piece; its neighbours are read."""
    with gzip.open(tmp_path / "x.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"id": "a"}\n')
        for _ in range(40):
            file.write(b"[" * 1024**2)
        file.write(b'\n{"id": "b"}\n')
    tracemalloc.start()
    found = read(tmp_path, "x.jsonl.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ids == ["a", "b"]
    assert ["x.jsonl.gz:2" in each and "longer than 33,554,432 bytes" in each for each in found.broken] == [True]
    assert peak < 100 * 1024**2
