"""Which records are one item: by ids that are ids, and never in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wiring.project import Project

CONFIG = """\
name: identity
source: {type: file, name: identity, path: items.jsonl, window: all}
metrics_config: {Exact: {class: exact_match}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG)
    return made


def records(project: Project, rows: list[dict[str, Any]]) -> None:
    whole = [{"actual_output": "a", "expected_output": "a"} | row for row in rows]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in whole))


def run(project: Project, *options: str) -> tuple[int, int, str]:
    """How many items were scored, how many came before, and the notes."""
    done = project.run("m.yaml", "--json", "--quiet", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return report["counts"]["scored"], report["counts"]["already_scored"], " ".join(report["notes"])


@pytest.mark.parametrize(
    "text", ["unknown", "None", "NULL", "nan", "N/A", "undefined", "", "   ", "<missing>", "-", "'null'"]
)
@pytest.mark.parametrize("traced", [True, False])
def test_a_text_that_says_none_is_no_id(project: Project, text: str, traced: bool) -> None:
    """A thousand records of it are a thousand items, and the same ones in the next run."""
    more = [{"trace_id": f"{n:032x}"} if traced else {} for n in range(1, 31)]
    records(project, [{"id": text, "query": f"q{n}"} | each for n, each in enumerate(more)])
    assert run(project)[:2] == (30, 0)
    assert run(project)[:2] == (0, 30)


@pytest.mark.parametrize("text", ["0", "1", "unknown-user-7", "none of the above", "null-1", "0000", "nanny"])
def test_other_ids_stay_as_they_are(project: Project, text: str) -> None:
    """Short numbers and texts that only begin so identify their item."""
    records(project, [{"id": text, "query": "q"}])
    assert run(project)[0] == 1
    assert project.scores()[0][0] == text


def test_the_trace_identifies_a_record_without_an_id(project: Project) -> None:
    """Also where its content changes later; one that was scored under its content's id is not scored again."""
    records(project, [{"query": "q1"}])
    assert run(project)[0] == 1
    records(project, [{"query": "q1", "trace_id": "t1"}, {"query": "q2", "trace_id": "t2"}])
    assert run(project)[:2] == (1, 1)
    assert project.scores()[-1][0] == "t2"
    records(project, [{"query": "changed", "trace_id": "t2"}])
    assert run(project)[:2] == (0, 1)


def test_one_id_with_different_content_is_a_warning(project: Project) -> None:
    """Only the first is scored by default; with `content` each is."""
    rows = [{"id": "same", "query": f"q{n}", "actual_output": f"a{n}"} for n in range(5)]
    records(project, [*rows, {"id": "twice", "query": "q"}, {"id": "twice", "query": "q"}])
    scored, _, notes = run(project)
    assert scored == 2 and "4 record(s) have the id of another record and different content, such as 'same'" in notes
    state = ("--set", "scored_store.file_path=other.db")
    assert run(project, *state, "--set", "scored_store.policy=content")[0] == 6
    records(project, [{"id": "twice", "query": "q"}] * 3)
    again = ("--set", "scored_store.file_path=third.db", "--set", "scored_store.policy=id")
    assert run(project, *again) == (1, 0, "")
