"""Two crons at once: with the CSV store one of them works and the other says so; on a database both work."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.contracts.adapters.served import empty_postgres, postgres_at
from tests.wiring.project import PATIENCE, Project

CONFIG = """\
name: twice
source: {{type: file, name: twice, path: items.jsonl, window: all}}
metrics_config: {{Mine: {{class: "mine:waits"}}}}
scored_store: {store}
"""
UNTIL_TOLD = """\
import time
from pathlib import Path


def waits(item):
    Path("scoring").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    return 1.0
"""
FOR_ONE_ANOTHER = """\
import os
import time
from pathlib import Path


def waits(item):
    Path(f"scoring-{os.getpid()}").touch()
    while len(list(Path().glob("scoring-*"))) < 2:
        time.sleep(0.02)
    return 1.0
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path, cold=True)
    found.write("pyproject.toml", "")
    found.items(120)
    return found


def test_with_the_csv_store_the_lock_decides_and_the_loser_says_so(project: Project) -> None:
    """It exits with 0, for nothing is wrong, names the process that is at work, and the state knows no run of it."""
    project.write("m.yaml", CONFIG.format(store="{type: csv, file_path: data/scored.csv}"))
    project.write("mine.py", UNTIL_TOLD)
    first = project.started("m.yaml", "--json", "--quiet")
    waiting = threading.Event()
    while not (project.folder / "scoring").exists():
        assert not waiting.wait(0.05) and first.poll() is None
    second = project.run("m.yaml")
    machine = project.run("m.yaml", "--json", "--quiet")
    (project.folder / "go").touch()
    out, errors = first.communicate(timeout=PATIENCE)
    assert (second.returncode, machine.returncode, first.returncode) == (0, 0, 0), second.stderr + errors
    assert "Another run is at work" in second.stdout and f"process {first.pid}" in second.stdout
    report = json.loads(machine.stdout)
    assert report["status"] == "busy" and report["counts"]["scored"] == 0
    assert json.loads(out)["counts"]["scored"] == 120
    assert len(project.scores()) == 120
    assert len((project.folder / "data" / "scored.csv").read_text().splitlines()) == 121
    runs = json.loads(project.run("runs", "m.yaml", "--json").stdout)
    assert [each["status"] for each in runs] == ["done"]
    assert "Nothing new" in project.run("m.yaml").stdout


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_on_a_database_both_work_and_no_item_is_scored_twice(place: str, project: Project, tmp_path: Path) -> None:
    """Each waits in its first metric until the other is there too, so neither could end if only one might work."""
    url = ""
    if place == "postgres":
        postgres_at(tmp_path)
        url = empty_postgres("two_crons")
    store = '{type: postgres, url: "${DATABASE_URL}"}' if url else "{type: sqlite}"
    project.write("m.yaml", CONFIG.format(store=store))
    project.write("mine.py", FOR_ONE_ANOTHER)
    both = [project.started("m.yaml", "--json", "--quiet", DATABASE_URL=url) for _ in range(2)]
    ended = [(process.communicate(timeout=PATIENCE), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    scored = [json.loads(out)["counts"]["scored"] for (out, _), _ in ended]
    assert sum(scored) == 120 and min(scored) > 0
