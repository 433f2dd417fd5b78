"""`push_to_db` from the YAML to the rows, and the command `tables`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.contracts.adapters.served import postgres_at
from tests.database.test_evaluation_tables import OLDER_DATASET, OLDER_RESULTS
from tests.wiring.project import CONFIG, Project

PUSH = "publishing: {push_to_db: true, database: {connection_string: %s}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG + PUSH % "out/target.db")
    return made


def pushed(project: Project) -> list[tuple[str, str, float]]:
    with closing(sqlite3.connect(project.folder / "out" / "target.db")) as connection:
        query = "SELECT dataset_id, metric_name, metric_score FROM evaluation_view ORDER BY 1, 2"
        return connection.execute(query).fetchall()


def told(done: subprocess.CompletedProcess[str]) -> str:
    """All that a command said, as one line."""
    return " ".join((done.stdout + done.stderr).split())


def test_scores_are_pushed_and_marked_once(project: Project) -> None:
    first = project.report()
    assert first["counts"]["marked"] == 8
    assert len(pushed(project)) == 16
    assert pushed(project)[:2] == [("i0", "Exact", 0.0), ("i0", "Short", 1.0)]
    assert project.report()["counts"]["scored"] == 0
    assert len(pushed(project)) == 16


def test_a_trial_is_pushed_only_when_asked_and_replaces_the_trial_before(project: Project) -> None:
    """`--no-dedup` leaves the stored scores of other runs alone, and never a second row for an item and metric."""
    project.report()
    before = pushed(project)
    done = project.run("m.yaml", "--no-dedup")
    assert "nothing was published" in told(done) and pushed(project) == before
    assert project.run("m.yaml", DEDUPLICATE="false").returncode == 0 and pushed(project) == before
    project.report("--no-dedup", "--publish")
    longer = ("--set", "metrics_config.Short.max_chars=1")
    project.report("--no-dedup", "--publish")
    trial = [(item, f"{name} (trial)", value) for item, name, value in before]
    assert pushed(project) == sorted([*before, *trial])
    project.report("--no-dedup", "--publish", *longer)
    assert [row for row in pushed(project) if "trial" not in row[1]] == before
    assert len({row[:2] for row in pushed(project)}) == len(pushed(project)) == 32


def test_a_store_of_type_none_publishes_each_run(project: Project) -> None:
    """Where a monitor remembers nothing by its configuration, its runs are no trials."""
    done = project.run("m.yaml", "--set", "scored_store.type=none")
    assert done.returncode == 0, done.stderr
    assert {name for _, name, _ in pushed(project)} == {"Exact", "Short"}


def test_a_server_gets_its_rows_and_its_password_is_in_no_output(project: Project, tmp_path: Path) -> None:
    url = postgres_at(tmp_path).replace("postgres:@", "postgres:pass-word-1@")
    project.write("m.yaml", CONFIG + PUSH % '"${DATABASE_URL}"')
    done = project.run("m.yaml", "--json", DATABASE_URL=url)
    checked = project.run("check", "m.yaml", DATABASE_URL=url)
    tables = project.run("tables", "check", "m.yaml", DATABASE_URL=url)
    assert (done.returncode, tables.returncode) == (0, 0), done.stderr + tables.stderr
    with psycopg.connect(postgres_at(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM evaluation_view").fetchone() == (16,)
    state = (project.folder / "data/state/trueline.db").read_bytes()
    for told in (done, checked, tables):
        assert "pass-word-1" not in told.stdout + told.stderr
    assert b"pass-word-1" not in state


def test_without_an_address_the_states_server_is_taken(project: Project, tmp_path: Path) -> None:
    url = postgres_at(tmp_path)
    state = f"scored_store: {{type: postgres, url: {json.dumps(url)}}}\n"
    project.write("m.yaml", CONFIG + state + "publishing: {push_to_db: true}\n")
    project.report()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM evaluation_results").fetchone() == (16,)


def test_without_any_database_the_run_does_not_begin(project: Project) -> None:
    project.write("m.yaml", CONFIG + "publishing: {push_to_db: true}\n")
    done = project.run("m.yaml", DATABASE_URL="")
    assert done.returncode == 2
    assert "m.yaml:6  publishing.push_to_db: found true, but no database to push to" in done.stderr
    project.write("m.yaml", CONFIG + PUSH % '"mysql://u:pass-word-1@h/d"')
    done = project.run("m.yaml")
    assert done.returncode == 2
    assert "'mysql' cannot be used here" in done.stderr
    assert "pass-word-1" not in done.stderr


def test_safe_mode_pushes_redacted_text(project: Project) -> None:
    row = {"id": "p1", "actual_output": "write to jane.doe@example.com", "expected_output": "a1"}
    project.write("items.jsonl", json.dumps(row) + "\n")
    assert project.run("m.yaml", SAFE_MODE="1", PRIVACY_KEY="k").returncode == 0
    with closing(sqlite3.connect(project.folder / "out" / "target.db")) as connection:
        stored = str(connection.execute("SELECT * FROM evaluation_view").fetchall())
    assert "write to" in stored
    assert "jane.doe" not in stored


def test_a_server_that_is_down_loses_nothing(project: Project) -> None:
    """The scores are stored, the run fails, and the next one pushes what is left."""
    project.write("m.yaml", CONFIG + PUSH % '"${TARGET}"')
    done = project.run("m.yaml", TARGET="postgresql://me:pass-word-1@127.0.0.1:9/db")
    assert done.returncode == 1
    assert "no server answers there" in told(done)
    assert "pass-word-1" not in told(done)
    again = project.run("m.yaml", "--json", TARGET="out/target.db")
    assert json.loads(again.stdout)["counts"]["marked"] == 8
    assert len(pushed(project)) == 16


def test_a_check_asks_the_database(project: Project) -> None:
    """Before any run: it answers, or the check fails with the cure."""
    project.write("m.yaml", CONFIG + PUSH % '"${TARGET}"')
    for safe in ("0", "1"):
        down = project.run(
            "check",
            "m.yaml",
            "--connect",
            TARGET="postgresql://me:pass-word-1@127.0.0.1:9/db",
            SAFE_MODE=safe,
            PRIVACY_KEY="k",
        )
        assert (down.returncode, "pass-word-1" in told(down)) == (1, False)
        assert "sink 'database': postgresql://me:***@127.0.0.1:9/db: no server answers there" in told(down)
    new = project.run("check", "m.yaml", "--connect", TARGET="out/target.db")
    assert (new.returncode, "the first run makes the tables" in told(new)) == (0, True)
    assert project.run("m.yaml", TARGET="out/target.db").returncode == 0
    ready = project.run("check", "m.yaml", "--connect", TARGET="out/target.db")
    assert (ready.returncode, "its tables are as they should be" in told(ready)) == (0, True)


def test_a_kill_while_pushing_leaves_one_copy(project: Project) -> None:
    project.items(400)
    for wait in (0.9, 1.2, 1.5):
        child = project.started("m.yaml", "--quiet")
        try:
            child.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
    project.report()
    found = pushed(project)
    assert len(found) == len({row[:2] for row in found}) == 800


def test_older_tables_are_brought_over_by_command(project: Project) -> None:
    (project.folder / "out").mkdir()
    with closing(sqlite3.connect(project.folder / "out" / "target.db")) as connection:
        for each in (OLDER_DATASET, OLDER_RESULTS):
            connection.execute(each.format(json="TEXT", at="TEXT"))
        connection.execute("INSERT INTO evaluation_dataset (dataset_id) VALUES ('old')")
        connection.execute("INSERT INTO evaluation_results (run_id, dataset_id, metric_name) VALUES ('r', 'old', 'M')")
        connection.commit()
    refused = project.run("m.yaml")
    assert refused.returncode == 1
    assert "its key is dataset_id" in told(refused) and "trueline tables create" in told(refused)
    checked = project.run("tables", "check", "--url", "out/target.db", "--json")
    assert checked.returncode == 1
    assert json.loads(checked.stdout)["state"] == "older"
    made = project.run("tables", "create", "m.yaml")
    assert made.returncode == 0, made.stderr
    assert "with every row and column" in made.stdout
    assert project.run("m.yaml", "--quiet").returncode == 0
    assert len(pushed(project)) == 17


def test_tables_need_a_database(project: Project) -> None:
    done = project.run("tables", "check", DATABASE_URL="")
    assert done.returncode == 2
    assert "which database?" in done.stderr
    absent = project.run("tables", "check", "m.yaml")
    assert absent.returncode == 1
    assert "there are none" in absent.stdout


def test_replaced_ids_need_a_key_that_stays(project: Project) -> None:
    """Else a batch that is sent again by another process leaves a second row for an item with a personal id."""
    project.write("m.yaml", CONFIG + PUSH % "t.db")
    done = project.run("check", "m.yaml", SAFE_MODE="1")
    assert done.returncode == 2 and "Set PRIVACY_KEY" in done.stderr
    assert project.run("check", "m.yaml", SAFE_MODE="1", PRIVACY_KEY="k").returncode == 0
