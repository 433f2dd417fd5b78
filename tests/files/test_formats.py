from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.files.reads import jsonl, parquet, read, source

RECORDS: list[dict[str, Any]] = [
    {"id": f"t{number}", "query": f'say "{number}", é', "timestamp": f"2026-03-0{1 + number % 9}T10:00:00Z"}
    for number in range(25)
]


def write(folder: Path, name: str) -> None:
    path = folder / name
    bare = name.removesuffix(".gz")
    if bare.endswith(".parquet"):
        (folder / "plain.tmp").write_text(jsonl(RECORDS))
        columns = "columns = {id: 'VARCHAR', query: 'VARCHAR', timestamp: 'VARCHAR'}"
        parquet(path, f"SELECT * FROM read_ndjson('{folder / 'plain.tmp'}', {columns})")
        return
    if bare.endswith(".csv"):
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(RECORDS[0]))
            writer.writeheader()
            writer.writerows(RECORDS)
    else:
        whole = {"array": RECORDS, "data": {"meta": 1, "data": RECORDS}, "traces": {"traces": RECORDS}}
        kind = bare.split(".")[0]
        path.write_text(json.dumps(whole[kind], indent=1) if kind in whole else jsonl(RECORDS))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))


NAMES = ["a.jsonl", "a.ndjson", "array.json", "data.json", "traces.json", "a.csv", "a.parquet", "A.JSONL",
         "a.jsonl.gz", "array.json.gz", "data.json.gz", "a.csv.gz"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "window", [{}, {"from_timestamp": "2020-01-01"}, {"limit": 25}, {"limit": 24, "days_back": 9999}]
)
def test_every_format_gives_the_same_records(tmp_path: Path, name: str, window: dict[str, Any]) -> None:
    """Format, packing and the way of reading must not change what is read, nor its order."""
    write(tmp_path, name)
    found = read(tmp_path, name, **window)
    kept = RECORDS if window.get("limit") != 24 else [each for each in RECORDS if each["id"] != "t18"]
    assert (found.records, found.broken) == (kept, [])


@pytest.mark.parametrize("name", NAMES)
def test_every_format_cuts_the_window_exactly(tmp_path: Path, name: str) -> None:
    """From is inclusive, to is exclusive, in every format."""
    write(tmp_path, name)
    found = read(tmp_path, name, from_timestamp="2026-03-02T10:00:00Z", to_timestamp="2026-03-04T10:00:00Z")
    assert found.ids == ["t1", "t2", "t10", "t11", "t19", "t20"]


def test_parquet_types(tmp_path: Path) -> None:
    """Nested types come as dicts and lists, times as datetimes, NULL and NaN as missing keys."""
    parquet(
        tmp_path / "a.parquet",
        """SELECT 7 AS id, {'a': 1, 'b': ['x', NULL], 't': TIMESTAMPTZ '2026-03-01 12:00:00+02'} AS "me.t""a",
        TIMESTAMP '2026-03-01 10:00:00' AS naive, TIMESTAMPTZ '2026-03-01 12:00:00+02' AS zoned,
        DATE '2026-03-01' AS day, 'NaN'::DOUBLE AS nothing, NULL::INTEGER AS none, 'NULL' AS text""",
    )
    assert read(tmp_path, "a.parquet").records == [
        {
            "id": 7,
            'me.t"a': {"a": 1, "b": ["x", None], "t": datetime(2026, 3, 1, 10)},
            "naive": datetime(2026, 3, 1, 10),
            "zoned": datetime(2026, 3, 1, 10, tzinfo=UTC),
            "day": date(2026, 3, 1),
            "text": "NULL",
        }
    ]


HOSTILE = ["a[1].jsonl", "b*.jsonl", "c?.jsonl", "d'; DROP--\".jsonl", "e é 日.jsonl", "f{x,y}.jsonl", "g$path.jsonl"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("window", [{}, {"days_back": 1}])
def test_hostile_file_names(tmp_path: Path, name: str, window: dict[str, Any]) -> None:
    """A name is data: not SQL, and no glob once it names a file. DuckDB alone would read a1.jsonl for a[1].jsonl."""
    for other in ("a1.jsonl", "bb.jsonl", "cc.jsonl", "fx.jsonl"):
        (tmp_path / other).write_text('{"id": "wrong", "timestamp": "2026-03-10"}\n')
    (tmp_path / name).write_text('{"id": "right", "timestamp": "2026-03-10"}\n')
    assert read(tmp_path, name, **window).ids == ["right"]
    parquet(tmp_path / f"{name}.parquet", "SELECT 'right' AS id, '2026-03-10' AS timestamp")
    assert read(tmp_path, f"{name}.parquet", **window).ids == ["right"]


@pytest.mark.parametrize("field", ['a"b', "a'b", "a.b", "a\\b", "*", "$", "é t", "#0", "a[0]", "$low"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_hostile_field_names(tmp_path: Path, name: str, field: str) -> None:
    """A field's name is data too, in SQL and in DuckDB's JSON paths."""
    days = {"in": "2026-03-10T11:00:00Z", "out": "2026-03-09T11:00:00Z"}
    records = [{"id": key, field: day} for key, day in days.items()]
    if name == "a.csv":
        with (tmp_path / name).open("w", newline="") as handle:
            csv.writer(handle).writerows([list(records[0]), *([*each.values()] for each in records)])
    elif name == "a.parquet":
        column = field.replace('"', '""')
        parquet(
            tmp_path / name, " UNION ALL ".join(f"SELECT '{k}' AS id, '{v}' AS \"{column}\"" for k, v in days.items())
        )
    else:
        (tmp_path / name).write_text(jsonl(records) if name == "a.jsonl" else json.dumps(records))
    found = read(tmp_path, name, hours_back=2, timestamp_field=field)
    assert (found.ids, found.broken) == (["in"], [])


def test_globs_sort_and_read_each_file_once(tmp_path: Path) -> None:
    """Order is the files' order by name, and a file matched twice is read once."""
    for name in ("b/2.jsonl", "a/1.jsonl", "a/c/3.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "b/2.jsonl").write_text('{"id": "2"}\n{"id": ')
    (tmp_path / "a/1.jsonl").write_text('{"id": "1"}\n')
    (tmp_path / "a/c/3.csv").write_text("id\n3\n")
    found = read(tmp_path, ["**/*.jsonl", "a/**", str(tmp_path / "b" / "2.jsonl")])
    assert found.ids == ["1", "3", "2"]
    assert found.broken[0].startswith("b/2.jsonl:2: not JSON")


def test_a_very_long_line(tmp_path: Path) -> None:
    """A line beyond DuckDB's buffers is read all the same, with and without a window."""
    long = {"id": "long", "query": "x" * 5_000_000, "timestamp": "2026-03-10"}
    (tmp_path / "a.jsonl").write_text(jsonl([long, RECORDS[0], long]))
    assert read(tmp_path, "a.jsonl").ids == ["long", "t0", "long"]
    assert read(tmp_path, "a.jsonl", days_back=1).ids == ["long", "long"]


@pytest.mark.parametrize("name", ["a.jsonl", "array.json", "a.csv", "a.parquet"])
def test_closing_early_leaves_nothing_open(tmp_path: Path, name: str) -> None:
    """A run that stops early gives its files back at once (an open one would be a ResourceWarning, thus an error)."""
    write(tmp_path, name)
    fetched = source(tmp_path, name, days_back=9999).fetch(datetime(2026, 3, 10, tzinfo=UTC))
    next(fetched)
    fetched.close()  # type: ignore[attr-defined]  # the port promises an iterator, ours is a generator
    opened = [each.resolve() for each in Path("/proc/self/fd").iterdir() if each.exists()]
    assert not [each for each in opened if each.name == name]


def test_importing_loads_neither_duckdb_nor_pandas() -> None:
    """Start-up time belongs to everyone, DuckDB only to those who read with it."""
    imports = "import sys, shared.files.file_source, shared.files.file_sink"
    code = f"{imports}; print({{'duckdb', 'pandas', 'numpy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


TIMES = st.one_of(
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 3)).map(datetime.isoformat),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 3)).map(lambda moment: moment.isoformat(" ") + "+01:00"),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 3)).map(lambda moment: moment.replace(tzinfo=UTC).timestamp()),
    st.sampled_from(["2026-03-02", "2026-03-01T23:59:59.9999999Z", "20260302T000000Z", "2026-W10-1"]),
    st.sampled_from(["2026-03-02T24:00Z", "2026-03-32", "2026-03-02 10:00:00 Europe/Berlin", "infinity", "today"]),
    st.text(max_size=4), st.none(), st.booleans(),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES)
LINES = st.one_of(
    st.builds(lambda when, rest: json.dumps(rest | {"timestamp": when}), TIMES, OBJECTS),
    st.builds(lambda rest: json.dumps(rest, ensure_ascii=False), OBJECTS),
    VALUES.map(json.dumps),
    st.sampled_from(["", "  ", "{", '{"a": NaN}', '{"timestamp": Infinity}', "\ufeff{}", '"', ",", '{"a": "\\ud800"}']),
)  # fmt: skip


def plain_python(path: Path) -> list[Any]:
    parsed = []
    for line in path.read_bytes().split(b"\n"):
        try:
            value = json.loads(line.decode())
        except ValueError:
            continue
        parsed += [value] if isinstance(value, dict) else []
    return parsed


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12), ends=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_jsonl_equals_plain_python(tmp_path: Path, lines: list[str], ends: str, last: bool) -> None:
    """Whatever stands in a file: all of it equals json.loads line by line, and a window equals the rule in Python.

    The first line carries no BOM here: what a BOM does is told by the tests of broken records.
    """
    path = tmp_path / "a.jsonl"
    body = ends.join(["{}", *lines]) + (ends if last else "")
    path.write_bytes(body.encode("utf-8", "surrogatepass"))
    everything = read(tmp_path, "a.jsonl")
    assert everything.records == plain_python(path)
    windowed = read(tmp_path, "a.jsonl", from_timestamp="2026-03-02", to_timestamp="2026-03-02T12:00:00Z")
    # The same lines behind a BOM are read by Python alone.
    path.write_bytes(b"\xef\xbb\xbf" + body.encode("utf-8", "surrogatepass"))
    slow = read(tmp_path, "a.jsonl", from_timestamp="2026-03-02", to_timestamp="2026-03-02T12:00:00Z")
    assert (windowed.records, windowed.broken) == (slow.records, slow.broken)
