"""Broken lines of files are reported by one run, not by every run that reads the files again."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.clock import iso, utc_now
from tests.wiring.project import Project

CONFIG = """\
name: hourly
source: {type: file, name: hourly, path: "logs/*.jsonl", hours_back: 1}
metrics_config: {Exact: {class: exact_match}}
"""
BROKEN = (
    '{"id": "cut", "actual_out',
    '{"id": "timeless", "actual_output": "a", "expected_output": "a"}',
    "not \udcff UTF-8",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG)
    return made


def hour(
    project: Project, number: int, *, good: int = 3, broken: tuple[str, ...] = BROKEN, hours_ago: float = 0.5
) -> None:
    at = iso(utc_now() - timedelta(hours=hours_ago))
    rows = [
        json.dumps({"id": f"h{number}-{n}", "actual_output": "a", "expected_output": "a", "timestamp": at})
        for n in range(good)
    ]
    text = "\n".join([*rows, *broken]) + "\n"
    project.write(f"logs/{number:03}.jsonl", text.encode("utf-8", "surrogateescape"))


def run(project: Project) -> tuple[int, dict[str, Any]]:
    done = project.run("m.yaml", "--json", "--quiet")
    return done.returncode, json.loads(done.stdout)


def test_broken_lines_of_past_hours_fail_no_later_run(project: Project) -> None:
    """Lines without a time are in every window: each is counted once, also in an hour without traffic."""
    for number in range(30):
        hour(project, number, hours_ago=0.5 if number == 29 else 40)
    hour(project, 30, good=200, broken=())
    code, report = run(project)
    assert (code, report["counts"]["broken"], report["counts"]["scored"]) == (0, 90, 203)
    code, report = run(project)
    assert (code, report["counts"]["broken"]) == (0, 0)
    assert any("90 broken record(s) were reported by earlier runs" in note for note in report["notes"])
    hour(project, 31, good=3, broken=BROKEN[:1])
    code, report = run(project)
    assert (code, report["counts"]["broken"], report["counts"]["scored"]) == (0, 1, 3)


def test_the_same_text_at_another_place_is_another_record(project: Project) -> None:
    """A log that breaks in the same way each hour is reported each hour; a corrected line is read."""
    hour(project, 1, good=20)
    assert run(project)[1]["counts"]["broken"] == 3
    hour(project, 2, good=20)
    assert run(project)[1]["counts"]["broken"] == 3
    hour(project, 2, good=21, broken=())
    assert run(project)[1]["counts"]["scored"] == 1


def test_a_wrong_configuration_stays_an_error(project: Project) -> None:
    """Where no record was ever good, the broken ones are counted by every run."""
    hour(project, 1)
    project.write("m.yaml", CONFIG.replace("hours_back: 1", "hours_back: 1, timestamp_field: created"))
    for _ in range(2):
        code, report = run(project)
        assert (code, report["counts"]["broken"]) == (3, 6)
