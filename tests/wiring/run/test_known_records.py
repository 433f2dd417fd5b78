"""Records of items that are known are not extracted again, where the extractor declares which field is the id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wiring.project import Project

CONFIG = """\
name: known
source: {{type: file, path: items.jsonl, window: all, extractor: "app:{extractor}"}}
scored_store: {{policy: {policy}}}
metrics_config:
  Exact: {{class: exact_match}}
"""
APP = """\
from pathlib import Path
from trueline import DatasetItem, item_id_from

def undeclared(record):
    with Path("calls").open("a") as file:
        file.write(record["key"] + "\\n")
    return DatasetItem(id=record["key"], actual_output=record["answer"], expected_output="a")

@item_id_from("key")
def declared(record):
    return undeclared(record)

@item_id_from("answer")
def wrong(record):
    return undeclared(record)
"""
RECORDS = [{"key": f"k{n}", "answer": "ab"[n % 2]} for n in range(6)]


def make(path: Path, extractor: str, policy: str) -> Project:
    folder = Project(path)
    folder.write("m.yaml", CONFIG.format(extractor=extractor, policy=policy))
    folder.write("app.py", APP)
    return folder


def write(folder: Project, records: list[dict[str, str]]) -> None:
    folder.write("items.jsonl", "".join(json.dumps(each) + "\n" for each in records))


def run(folder: Project, code: int = 0) -> tuple[dict[str, Any], list[str]]:
    """The run's report, and the keys that the extractor was given."""
    calls = folder.folder / "calls"
    calls.unlink(missing_ok=True)
    done = folder.run("m.yaml", "--json", "--quiet", PYTHONPATH=str(folder.folder))
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout), calls.read_text().split() if calls.exists() else []


@pytest.mark.parametrize("policy", ["id", "content"])
@pytest.mark.parametrize("extractor", ["declared", "undeclared"])
def test_a_declared_id_saves_the_extractor_and_changes_no_count(tmp_path: Path, extractor: str, policy: str) -> None:
    """With `item_id_from` known records are counted as before, duplicates too; what is new or changed is extracted."""
    folder = make(tmp_path, extractor, policy)
    write(folder, RECORDS)
    run(folder)
    changed = RECORDS[0] | {"answer": "changed"}
    new = [{"key": each, "answer": "a"} for each in ("new", "null")]
    write(folder, [*RECORDS[1:], changed, RECORDS[2], RECORDS[2], *new])
    report, calls = run(folder)
    counts = report["counts"]
    again = int(policy == "content")
    assert (counts["scored"], counts["duplicates"], counts["already_scored"]) == (2 + again, 2, 6 - again)
    saved = (extractor, policy) == ("declared", "id")
    assert set(calls) == {"new", "null"} | (set() if saved else {f"k{n}" for n in range(6)})


def test_a_wrong_declaration_is_a_broken_record(tmp_path: Path) -> None:
    """An extractor that names the wrong field is found by its first items, before anything could be left out."""
    folder = make(tmp_path, "wrong", "id")
    write(folder, RECORDS)
    report, _ = run(folder, code=3)
    assert report["counts"]["broken"] == 6 and "item_id_from" in report["broken"][0]
