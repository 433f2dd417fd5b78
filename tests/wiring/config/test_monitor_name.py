"""Monitors without a `name` are called like their files, and no two of them share one history in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.wiring.project import Project

NAMELESS = """\
source: {{type: file, path: {path}, window: all}}
metrics_config: {{{label}: {{class: exact_match}}}}
"""
EARLIER = "name: online_monitoring\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("pyproject.toml", "")
    for name in ("one", "two"):
        rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a"} for n in range(5)]
        made.write(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        made.write(f"{name}.yaml", NAMELESS.format(path=f"{name}.jsonl", label="Exact"))
    return made


def scored(project: Project, config: str, *options: str) -> tuple[int, str, str]:
    done = project.run(config, "--json", "--quiet", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return report["counts"]["scored"], report["monitor"], " ".join(report["notes"])


def test_two_files_have_two_histories(project: Project) -> None:
    """The second is no "nothing new" of the first, though both have the same ids."""
    assert scored(project, "one.yaml")[:2] == (5, "one")
    assert scored(project, "two.yaml")[:2] == (5, "two")
    assert scored(project, "one.yaml")[0] == scored(project, "two.yaml")[0] == 0
    assert {path.name for path in (project.folder / "data" / "reports").iterdir()} == {"one.html", "two.html"}


@pytest.mark.parametrize("csv", [False, True])
def test_a_history_under_the_earlier_default_goes_on(project: Project, csv: bool) -> None:
    """For the file that made it, and no other; nothing is scored again."""
    store = "scored_store: {type: csv}\n" if csv else ""
    text = NAMELESS.format(path="one.jsonl", label="Exact") + store
    project.write("one.yaml", EARLIER + text)
    assert scored(project, "one.yaml")[:2] == (5, "online_monitoring")
    project.write("one.yaml", text)
    project.write("two.yaml", NAMELESS.format(path="two.jsonl", label="Exact") + store)
    again, name, notes = scored(project, "one.yaml")
    assert (again, name) == (0, "online_monitoring") and "write `name: online_monitoring` into the file" in notes
    assert scored(project, "two.yaml")[:2] == (5, "two")
    for command in ("runs", "report"):
        assert project.run(command, "one.yaml").returncode == 0


def test_a_history_goes_on_after_a_metric_was_added(project: Project) -> None:
    """The source and one of the metrics say whose it is."""
    project.write("one.yaml", EARLIER + NAMELESS.format(path="one.jsonl", label="Exact"))
    scored(project, "one.yaml")
    more = "Exact: {class: exact_match}, Short"
    project.write("one.yaml", NAMELESS.format(path="one.jsonl", label=more))
    assert scored(project, "one.yaml")[1] == "online_monitoring"
    project.write("one.yaml", NAMELESS.format(path="one.jsonl", label="Other"))
    assert scored(project, "one.yaml")[:2] == (5, "one")


def test_two_files_of_one_name_are_refused(project: Project) -> None:
    """In two folders; a `name` in one of them is enough, and the error says so."""
    for folder in ("a", "b"):
        project.write(f"{folder}/chat.yaml", NAMELESS.format(path="one.jsonl", label="Exact"))
    done = project.run("a/chat.yaml")
    assert done.returncode == 2 and "b/chat.yaml has the same file name and no `name` either" in done.stderr
    project.write("b/chat.yaml", "name: other\n" + NAMELESS.format(path="one.jsonl", label="Exact"))
    assert scored(project, "a/chat.yaml")[:2] == (5, "chat")


def test_a_file_name_that_cannot_be_a_name_is_refused(project: Project) -> None:
    """The state database and the report could not be called so."""
    project.write("a:b.yaml", NAMELESS.format(path="one.jsonl", label="Exact"))
    done = project.run("a:b.yaml")
    assert done.returncode == 2 and "set `name`" in done.stderr
