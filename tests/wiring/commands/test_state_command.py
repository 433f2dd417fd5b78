"""`trueline state`: sizes, pruning and the aggregates, through the command."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.wiring.project import Project

CONFIG = """\
name: m
source: {type: file, name: items, path: items.jsonl, window: all}
metrics_config: {Exact: {class: exact_match}}
publishing: {files: {directory: out}}
report: {group_by: [prompt_version]}
"""
SECRET = "a question about my knee"


@pytest.fixture
def monitor(tmp_path: Path) -> Project:
    """A monitor that has run once, 100 days ago as its state tells."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    rows = [
        {"id": f"i{number}", "query": SECRET, "actual_output": "a", "expected_output": "ab"[number % 2]}
        | {"metadata": {"prompt_version": number % 3, "user": SECRET}, "timestamp": "2026-03-01T12:00:00Z"}
        for number in range(6)
    ]
    project.write("items.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    assert project.run("m.yaml").returncode == 0
    with closing(state(project)) as connection, connection:
        for table, column in (("runs", "finished_at"), ("runs", "started_at"), ("decisions", "marked_at")):
            connection.execute(f"UPDATE {table} SET {column} = '2026-03-01T12:00:00.000000+00:00'")
    return project


def state(project: Project) -> sqlite3.Connection:
    return sqlite3.connect(project.folder / "data" / "state" / "trueline.db")


def dump(project: Project) -> str:
    with closing(state(project)) as connection:
        return "\n".join(connection.iterdump())


def test_sizes(monitor: Project) -> None:
    """Where the state is, and how many rows and bytes each table has."""
    found = json.loads(monitor.run("state", "m.yaml", "--json").stdout)
    sizes = {each["table"]: each for each in found["tables"]}
    assert (sizes["scores"]["rows"], sizes["decisions"]["rows"], sizes["responses"]["rows"]) == (6, 6, 0)
    assert sizes["scores"]["bytes"] > 0
    assert "trueline.db: " in monitor.run("state", "m.yaml").stdout


def test_prune_drops_texts_and_nothing_else(monitor: Project) -> None:
    """The texts are gone from the file, nothing is scored again, `explain` answers, and the page has its history."""
    before = json.loads(monitor.run("runs", "m.yaml", "show", "--json").stdout)
    assert SECRET in dump(monitor)
    wanted = json.loads(monitor.run("state", "prune", "m.yaml", "--keep", "90d", "--dry-run", "--json").stdout)
    assert SECRET in dump(monitor)
    done = json.loads(monitor.run("state", "prune", "m.yaml", "--keep", "90d", "--json").stdout)
    assert (done["items"], done["messages"], done["runs"]) == (6, wanted["messages"], 1)
    assert {**done, "dry_run": True} == wanted
    assert SECRET not in dump(monitor)
    again = json.loads(monitor.run("m.yaml", "--json").stdout)
    assert (again["status"], again["counts"]["scored"]) == ("nothing_new", 0)
    assert "Scored and processed (no message to a sink is stored)" in monitor.run("explain", "m.yaml", "i3").stdout
    assert monitor.run("report", "m.yaml", "--run", before["run_id"]).returncode == 0
    assert json.loads(monitor.run("state", "prune", "m.yaml", "--keep", "90d", "--json").stdout)["items"] == 0


def test_segments_outlive_their_items(monitor: Project) -> None:
    """The aggregates can be built again after texts were dropped, and are the same."""
    rows = "SELECT width, segment, n, queued FROM score_aggregates ORDER BY 1, 2"
    with closing(state(monitor)) as connection:
        kept = connection.execute(rows).fetchall()
    assert len({segment for _, segment, *_ in kept}) == 3
    assert monitor.run("state", "prune", "m.yaml", "--keep", "1d").returncode == 0
    assert monitor.run("state", "rebuild", "m.yaml").returncode == 0
    with closing(state(monitor)) as connection:
        assert [each for each in connection.execute(rows) if each[0] == 86_400] == [e for e in kept if e[0] == 86_400]


def test_what_is_young_or_not_published_stays(monitor: Project) -> None:
    """Only what is older goes, and of that only what every sink has."""
    assert json.loads(monitor.run("state", "prune", "m.yaml", "--keep", "9999d", "--json").stdout)["items"] == 0
    with closing(state(monitor)) as connection, connection:
        connection.execute("UPDATE decisions SET state = 'scored', marked_at = NULL WHERE item_id = 'i1'")
    assert json.loads(monitor.run("state", "prune", "m.yaml", "--keep", "90d", "--json").stdout)["items"] == 5
    with closing(state(monitor)) as connection:
        (payload,) = connection.execute("SELECT payload FROM items WHERE item_id = 'i1'").fetchone()
    assert SECRET in payload


def test_retention_is_kept_by_every_run(monitor: Project) -> None:
    """With `retention` in the configuration no command is needed."""
    assert monitor.run("m.yaml", "--set", "retention.keep=90d").returncode == 0
    assert SECRET not in dump(monitor)


@pytest.mark.parametrize("keep", ["90", "0d", "-1d", "three months"])
def test_a_wrong_age_is_named(monitor: Project, keep: str) -> None:
    """In the command and in the configuration, with what was expected."""
    for words in (
        ("state", "prune", "m.yaml", f"--keep={keep}"),
        ("check", "m.yaml", "--set", f"retention.keep='{keep}'"),
    ):
        done = monitor.run(*words)
        assert (done.returncode, "such as 90d" in done.stderr + done.stdout) == (2, True)
    assert SECRET in dump(monitor)
