"""Values of users' code that cannot be stored fail their metric or record, never the run."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.contracts.adapters.served import postgres_at
from tests.wiring.project import Project

METRICS = """\
from trueline import DatasetItem, Score, metric


class Unspeakable(Exception):
    def __repr__(self):
        raise ValueError("no repr")

    __str__ = __repr__


class Stubborn(dict):
    def items(self):
        raise KeyError("no items")


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def signals(kind):
    cycle = {}
    cycle["again"] = cycle
    return {
        "cyclic": cycle,
        "deep": {"x": nested(1500)},
        "endless": {"x": nested(100_000)},
        "repr": {"x": Unspeakable()},
        "key": {Unspeakable(): 1},
        "digits": {"x": 10**5000},
        "items": Stubborn(a=1),
        "list": [1, 2],
        "not a number": {"x": float("nan")},
        "set": {"x": {1, "a"}},
        "bytes": {"x": b"\\xff"},
        "keys": {(1, 2): 1, None: 2, 3: 4},
        "nul": {"x\\0": "a\\0\\ud800"},
    }[kind]


@metric(version="1")
def with_signals(item: DatasetItem) -> Score:
    return Score(1.0, "a\\0\\ud800", signals(item.id))


@metric(version="1")
def raises(item: DatasetItem) -> float:
    raise Unspeakable()


@metric(version="1")
def fine(item: DatasetItem) -> float:
    return 1.0
"""
BAD = ("cyclic", "deep", "endless", "repr", "key", "digits", "items", "list")
GOOD = ("not a number", "set", "bytes", "keys", "nul")
CONFIG = """\
name: values
source: {type: file, name: values, path: items.jsonl, window: all}
evaluation: {max_failure_share: 1}
metrics_config:
  Signals: {class: "own_metrics:with_signals"}
  Raises: {class: "own_metrics:raises"}
  Fine: {class: "own_metrics:fine"}
publishing: {files: {directory: out}}
"""


def query(project: Project, url: str, sql: str) -> list[tuple[object, ...]]:
    if url:
        with psycopg.connect(url) as connection:
            return connection.execute(sql).fetchall()
    with closing(sqlite3.connect(project.folder / "data" / "state" / "trueline.db")) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_metric_whose_answer_cannot_be_stored_fails_alone(tmp_path: Path, store: str) -> None:
    """Its item gets the scores of the other metrics, the other items all of theirs, and the next run goes on."""
    project = Project(tmp_path)
    url = postgres_at(tmp_path) if store == "postgres" else ""
    project.write("own_metrics.py", METRICS)
    project.write("m.yaml", CONFIG + (f"scored_store: {{type: postgres, url: '{url}'}}\n" if url else ""))
    project.write("items.jsonl", "".join(json.dumps({"id": each}) + "\n" for each in (*BAD, *GOOD)))
    for _ in range(2):
        done = project.run("m.yaml", PYTHONPATH=str(project.folder))
        assert done.returncode == 0, done.stderr
    labels = query(project, url, "SELECT label, count(*) FROM scores GROUP BY label ORDER BY label")
    assert labels == [("Fine", len(BAD) + len(GOOD)), ("Signals", len(GOOD))]
    kinds = query(project, url, "SELECT item_id, kind FROM failures WHERE label = 'Signals' AND attempt = 1")
    assert {item for item, _ in kinds} == set(BAD) and {kind for _, kind in kinds} == {"Malformed", "KeyError"}


@pytest.mark.parametrize("safe", ["0", "1"])
@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_a_record_that_cannot_be_stored_is_broken_alone(tmp_path: Path, form: str, safe: str) -> None:
    """Records hundreds of levels deep are named with their place; those beside them are scored."""
    project = Project(tmp_path)
    rows = [f'{{"id": "fine{n}", "actual_output": "a", "expected_output": "a"}}' for n in range(20)]
    for levels in (90, 150, 600, 1000, 20_000):
        for start, end in (('{"a":', "}"), ("[", "]")):
            value = start * levels + "1" + end * levels
            rows.append(f'{{"id": "d{levels}{start[0]}", "expected_output": "a", "metadata": {{"v": {value}}}}}')
    rows.append('{"id": "digits", "expected_output": "a", "metadata": {"v": ' + "9" * 5000 + "}}")
    whole = "\n".join(rows) + "\n" if form == "jsonl" else "[" + ",\n".join(rows) + "]"
    project.write("items.jsonl", whole)
    sets = ("--set", f"source.format={form}")
    project.write("m.yaml", CONFIG.replace('{class: "own_metrics:with_signals"}', "{class: exact_match}"))
    project.write("own_metrics.py", METRICS)
    done = project.run("m.yaml", "--json", *sets, SAFE_MODE=safe, PYTHONPATH=str(project.folder))
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert (counts["broken"], counts["failed_items"]) == (9, 22)
    assert "nested deeper than 100 levels" in done.stdout
