"""`trueline cache`: what the response cache of a monitor holds."""

from __future__ import annotations

import json
from pathlib import Path

from shared.core.results import LMResult
from shared.database.engine.database import open_database
from shared.database.stores.sql_responses import SqlResponses
from tests.wiring.project import Project


def test_the_cache_is_shown_and_cleared(tmp_path: Path) -> None:
    """Entries, hit rate and money saved, for people and as JSON; clearing says how much went."""
    project = Project(tmp_path)
    early = project.run("cache", "stats", "m.yaml")
    assert early.returncode == 2
    assert "run the monitor first" in early.stderr
    database = open_database(tmp_path / "data" / "state" / "trueline.db")
    responses = SqlResponses(database)
    responses.put({"a": LMResult("yes", cost=0.25)})
    responses.get(["a", "b"])
    responses.close()
    database.close()
    shown = project.run("cache", "stats", "m.yaml").stdout
    assert "1 answers" in shown
    assert "1 hits, 1 misses: 50.0%; saved $0.2500" in shown
    assert json.loads(project.run("cache", "stats", "m.yaml", "--json").stdout)["hit_rate"] == 0.5
    assert "1 answers cleared" in project.run("cache", "clear", "m.yaml").stdout
    assert json.loads(project.run("cache", "stats", "m.yaml", "--json").stdout)["entries"] == 0
