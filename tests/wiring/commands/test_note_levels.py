"""Notes that warn and notes that inform look different: in the terminal, on the page, in JSON, and from stored runs."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.wiring.project import Project

CONFIG = """\
name: levels
source: {type: file, name: levels, path: items.jsonl, window: all}
sampling: {strategy: all, cap: 5}
evaluation: {flush_per_metric: true}
metrics_config:
  Short: {class: length, max_chars: 20}
  Exact: {class: exact_match, field_mapping: {expected_output: metadata.wrong}}
"""
WARNS = "metric 'Exact' applied to none of 5 item(s)"
INFORMS = ("sampling all: 9 candidates are 4 over the cap", "evaluation.flush_per_metric is accepted")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG)
    made.items(9)
    return made


def listed(page: str) -> dict[str, str]:
    """The lists of notes on a page, by their class."""
    return dict(re.findall(r'<ul class="notes (\w+)"[^>]*>(.*?)</ul>', page.replace("&#39;", "'"), re.DOTALL))


def test_the_terminal_and_the_page_tell_them_apart(project: Project) -> None:
    """By a sign, a word and a colour; warnings come first."""
    text = re.sub(r"\s+", " ", project.run("m.yaml").stdout)
    assert f"! {WARNS}" in text and all(f"note: {each}" in text for each in INFORMS)
    assert text.index("! ") < text.index("note: ")
    found = listed((project.folder / "data" / "reports" / "levels.html").read_text())
    assert WARNS in found["warning"] and not any(each in found["warning"] for each in INFORMS)
    assert WARNS not in found["information"] and all(each in found["information"] for each in INFORMS)


def test_json_has_all_notes_and_those_that_warn(project: Project) -> None:
    """`notes` stays what it was; `warnings` are some of them, also in `check`."""
    report = json.loads(project.run("m.yaml", "--json", "--quiet").stdout)
    assert [each[:30] for each in report["warnings"]] == [WARNS[:30]]
    assert all(any(note.startswith(each) for note in report["notes"]) for each in (WARNS, *INFORMS))
    checked = json.loads(project.run("check", "m.yaml", "--json").stdout)
    assert (len(checked["notes"]), checked["warnings"]) == (1, [])
    assert "note: evaluation.flush_per_metric" in project.run("check", "m.yaml").stdout


def test_stored_runs_keep_the_levels(project: Project) -> None:
    """A page that is made later shows what the run's own page showed; runs of earlier versions only have warnings."""
    assert project.run("m.yaml", "--quiet").returncode == 0
    page = project.folder / "again.html"
    for warnings in ("warnings", "NULL"):
        with closing(sqlite3.connect(project.folder / "data" / "state" / "trueline.db")) as connection, connection:
            connection.execute(f"UPDATE runs SET warnings = {warnings}")
        done = project.run("report", "m.yaml", "--out", str(page))
        assert done.returncode == 0, done.stderr
        found = listed(page.read_text())
        assert WARNS in found["warning"]
        assert (INFORMS[0] in found["warning"]) == (warnings == "NULL")
        assert (INFORMS[0] in found.get("information", "")) == (warnings != "NULL")
