"""A clock that was ahead once leaves no gap: what came meanwhile is read by the next run."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.core.clock import iso, utc_now
from tests.wiring.project import Project

CONFIG = """\
name: clock
source: {type: file, name: clock, path: items.jsonl, hours_back: 1}
metrics_config: {Exact: {class: exact_match}}
"""


def report(project: Project) -> dict[str, Any]:
    done = project.run("m.yaml", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_rows_behind_a_run_from_the_future_are_read(tmp_path: Path) -> None:
    """The first run is dated a day ahead; the rows that come five hours after the run before are old by then."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    now = utc_now()

    def rows(*hours: float) -> None:
        made = [
            {
                "id": f"i{each}",
                "actual_output": "a",
                "expected_output": "a",
                "timestamp": iso(now - timedelta(hours=each)),
            }
            for each in hours
        ]
        project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in made))

    def move(earlier: str, hours: float) -> None:
        with closing(sqlite3.connect(project.folder / "data" / "state" / "trueline.db")) as connection, connection:
            moved = iso(now + timedelta(hours=hours))
            connection.execute("UPDATE runs SET started_at = ? WHERE run_id = ?", (moved, earlier))

    rows(0.5)
    move(report(project)["run_id"], -8)
    move(report(project)["run_id"], 24)
    rows(0.5, 3, 6)
    found = report(project)
    assert found["counts"]["scored"] == 2
    assert any("a clock was ahead" in note for note in found["notes"])
    assert not any("a clock was ahead" in note for note in report(project)["notes"])
