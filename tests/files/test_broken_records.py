from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import ItemError
from shared.core.records import DatasetItem
from tests.files.reads import as_item, parquet, read

MIXED = (
    b'\xef\xbb\xbf{"id": 1}\r\n\r\n{"id": 2}\n   \n[1]\n5\nnull\n{"id": 3,}\n{"id": "\xff"}\n'
    b'{"id": "\xc3\xa9"}\n"text"\n{"id": NaN}\n' + b"[" * 100_000 + b'\n{"id": "last"}'
)


def test_broken_lines_do_not_stop_the_others(tmp_path: Path) -> None:
    """Each broken line is told with its number and reason; BOM, CRLF and blank lines are fine."""
    (tmp_path / "a.jsonl").write_bytes(MIXED)
    found = read(tmp_path, "a.jsonl")
    assert found.ids == ["1", "2", "é", "nan", "last"]
    assert [text.split(": ")[0] for text in found.broken] == [f"a.jsonl:{n}" for n in (5, 6, 7, 8, 9, 11, 13)]
    assert "expected a JSON object, found a list" in found.broken[0]
    assert "not JSON" in found.broken[3]
    assert "not UTF-8" in found.broken[4]


def test_the_window_finds_the_same_broken_lines(tmp_path: Path) -> None:
    """The fast way with a window and the plain way without one agree on lines and reasons."""
    tame = b"\n".join(line for line in MIXED[3:].split(b"\n") if b"\xff" not in line)
    (tmp_path / "a.jsonl").write_bytes(tame)
    plain = read(tmp_path, "a.jsonl").broken
    windowed = read(tmp_path, "a.jsonl", days_back=1).broken
    assert [text for text in windowed if "no 'timestamp'" not in text] == plain
    assert len(windowed) == len(plain) + 5


@pytest.mark.parametrize(
    "error",
    [ItemError, ValueError, TypeError, KeyError, AttributeError, IndexError, ZeroDivisionError, AssertionError,
     RuntimeError, StopIteration, SyntaxError, RecursionError],
)  # fmt: skip
def test_an_extractor_that_raises_on_one_leaves_the_others(tmp_path: Path, error: type[Exception]) -> None:
    """One of N fails: N-1 items, and one broken record with file, line and the exception's type."""

    def extract(record: Any) -> DatasetItem:
        if record["id"] == 3:
            raise error("no query")
        return as_item(record)

    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": {n}}}\n' for n in range(1, 6)))
    found = read(tmp_path, "a.jsonl", extract)
    assert found.ids == ["1", "2", "4", "5"]
    assert len(found.broken) == 1
    assert found.broken[0].startswith(f"a.jsonl:3: the extractor failed: {error.__name__}: ")
    assert "no query" in found.broken[0]


def test_an_extractor_that_returns_something_else(tmp_path: Path) -> None:
    """A dict is not an item, however much it looks like one."""
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    found = read(tmp_path, "a.jsonl", lambda record: dict(record))
    assert found.broken == ["a.jsonl:1: the extractor returned dict; expected a DatasetItem"]


def test_ragged_csv_rows(tmp_path: Path) -> None:
    """Rows of another width, with bad bytes or bad quoting are broken; quoted line breaks keep the count of lines."""
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbfid,query\r\n1,"two\nlines, ""quoted"""\r\n2\r\n\r\n3,x,y\r\n4,\xff\r\n5,"a"b\r\n'
        b"6,\xc3\xa9\r\n7,\r\n"
    )
    found = read(tmp_path, "a.csv")
    assert found.records == [{"id": "1", "query": 'two\nlines, "quoted"'}, {"id": "6", "query": "é"}, {"id": "7"}]
    assert [text.split(": ")[0] for text in found.broken] == ["a.csv:4", "a.csv:6", "a.csv:7", "a.csv:8"]
    assert found.broken[0].endswith("expected 2 cells as in the header, found 1")


def test_csv_cells_without_a_value_are_missing_and_long_ones_are_read(tmp_path: Path) -> None:
    """Empty, NaN and NULL are no values; a trace longer than Python's own limit of a cell is."""
    long = "x" * 200_000
    (tmp_path / "a.csv").write_text(f"id,a,b,c,d\n1,,NaN,NULL,{long}\n")
    assert read(tmp_path, "a.csv").records == [{"id": "1", "d": long}]


@pytest.mark.parametrize(
    ("value", "said"),
    [('"soon"', "found 'soon'"), ("true", "found True"), ("1e300", "found 1e+300"), ("1767225600000", "1767225600000"),
     ('"2026-02-30"', "found '2026-02-30'"), ("null", "no 'timestamp'"), ("{}", "found {}")],
)  # fmt: skip
def test_a_time_that_is_none_is_told(tmp_path: Path, value: str, said: str) -> None:
    """In a window, a record without a usable time is broken: never dropped in silence."""
    (tmp_path / "a.jsonl").write_text(f'{{"id": 1, "timestamp": {value}}}\n{{"id": 2, "timestamp": "2026-03-10"}}\n')
    found = read(tmp_path, "a.jsonl", days_back=1)
    assert found.ids == ["2"]
    assert len(found.broken) == 1
    assert said in found.broken[0]


def test_times_in_parquet_that_are_none_are_told(tmp_path: Path) -> None:
    """NULL, milliseconds for seconds, and texts that are no times survive the pushed-down filter."""
    parquet(
        tmp_path / "a.parquet", "SELECT * FROM (VALUES (1, 1773144000), (2, NULL), (3, 1773144000000)) t(id, timestamp)"
    )
    parquet(
        tmp_path / "b.parquet",
        "SELECT * FROM (VALUES (4, '2026-03-10T11:00:00Z'), (5, 'soon'), (6, '2025')) t(id, timestamp)",
    )
    found = read(tmp_path, "*.parquet", hours_back=2)
    assert found.ids == ["4"]
    assert [text.split(":")[0] for text in found.broken] == [
        f"{n}.parquet record {r}" for n, r in (("a", 2), ("a", 3), ("b", 2), ("b", 3))
    ]
