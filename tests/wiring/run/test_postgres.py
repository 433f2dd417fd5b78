"""A monitor whose memory is a Postgres server: the same runs, the same promises."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.contracts.adapters.served import empty_postgres, postgres_at
from tests.wiring.project import CONFIG, Project


@pytest.fixture
def url(tmp_path: Path) -> str:
    return postgres_at(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG + 'scored_store: {type: postgres, url: "${DATABASE_URL}"}\n')
    return made


def rows(url: str) -> list[tuple[str, str, float]]:
    with psycopg.connect(url) as connection:
        query = "SELECT item_id, label, value FROM scores ORDER BY item_id, label"
        return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def test_a_second_run_finds_nothing_new(project: Project, url: str) -> None:
    """What was scored is remembered on the server; the password is in no output, page or stored configuration."""
    secret = url.replace("postgres:@", "postgres:pass-word-1@")
    first = project.run("m.yaml", "--json", DATABASE_URL=secret)
    assert json.loads(first.stdout)["counts"]["scored"] == 8
    again = project.run("m.yaml", DATABASE_URL=secret)
    assert "Nothing new" in again.stdout
    check = project.run("check", "m.yaml", DATABASE_URL=secret)
    page = (project.folder / "data" / "reports" / "cli.html").read_text()
    with psycopg.connect(url) as connection:
        stored = str(connection.execute("SELECT * FROM runs").fetchall())
    for told in (first.stdout, first.stderr, again.stdout, check.stdout, check.stderr, page, stored):
        assert "pass-word-1" not in told
    assert len(rows(url)) == 16


def test_a_dry_run_makes_no_table(project: Project) -> None:
    """A dry run on a fresh server leaves it as it was."""
    fresh = empty_postgres("dry_run")
    assert project.run("m.yaml", "--dry-run", DATABASE_URL=fresh).returncode == 0
    with psycopg.connect(fresh) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_an_empty_server_is_no_memory_where_one_must_exist(project: Project) -> None:
    """A wrong database name must not score everything again: nothing is made there, and the password is not shown."""
    fresh = empty_postgres("lost_memory")
    around = {"DATABASE_URL": fresh.replace("postgres:@", "postgres:pass-word-1@"), "TRUELINE_STATE_MUST_EXIST": "1"}
    lost = project.run("m.yaml", **around)
    assert lost.returncode == 1
    assert "the state of earlier runs of monitor 'cli' is missing" in lost.stderr and "is not there" in lost.stderr
    assert "pass-word-1" not in lost.stderr + lost.stdout
    with psycopg.connect(fresh) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    assert project.run("m.yaml", "--first-run", **around).returncode == 0
    assert project.run("m.yaml", **around).returncode == 0


def test_a_server_that_is_down_is_one_message(project: Project) -> None:
    """The run fails before anything is scored, and says what to do."""
    done = project.run("m.yaml", DATABASE_URL="postgresql://me:pass-word-1@127.0.0.1:9/db")
    assert done.returncode == 1
    assert "no server answers there" in done.stderr
    assert "pass-word-1" not in done.stderr


def test_two_runs_at_once_score_every_item_once(project: Project, url: str) -> None:
    """The second waits while the first draws, and scores what that one has not taken by then, if anything."""
    project.items(300)
    environment = {"DATABASE_URL": url}
    both = [project.started("m.yaml", "--json", **environment) for _ in range(2)]
    told = [json.loads(each.communicate(timeout=120)[0]) for each in both]
    assert sum(each["counts"]["scored"] for each in told) == 300
    assert sorted(each["counts"]["drawn"] for each in told) == [0, 300]
    assert len(rows(url)) == 600


def test_a_killed_run_is_finished_by_the_next(project: Project, url: str) -> None:
    """SIGKILL in the middle of scoring: the rows are those of a clean run, none lost, none twice."""
    project.write("slow.py", SLOW)
    text = (project.folder / "m.yaml").read_text()
    project.write("m.yaml", text.replace("metrics_config:", "metrics_config:\n  Slow: {class: slow:waits}"))
    project.items(240)
    for wait in (1.2, 1.6, 2.0):
        child = project.started("m.yaml", "--quiet", DATABASE_URL=url)
        with pytest.raises(subprocess.TimeoutExpired):
            child.communicate(timeout=wait)
        child.kill()
        child.communicate()
    assert project.run("m.yaml", "--quiet", DATABASE_URL=url).returncode == 0
    found = rows(url)
    assert len(found) == len({(item, label) for item, label, _ in found}) == 720


SLOW = """
import time


def waits(item):
    time.sleep(0.02)
    return 1.0
"""
