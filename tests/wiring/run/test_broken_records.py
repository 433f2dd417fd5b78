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


@pytest.mark.parametrize("window", ["hours_back: 1", "window: all"])
@pytest.mark.parametrize(
    ("flaw", "place", "broken"),
    [
        (b'"\\ud800"', 0, 0),
        (b'"cut \\udbff emoji"', 4999, 0),
        (b'"a\xffb"', 2500, 1),
        (b'"\\x"', 0, 1),
        (b'"\\x"', 4999, 1),
        (b'"a\tb"', 2500, 1),
        (b"[" * 3000 + b"]" * 3000, 4999, 1),
        (b'"\0"', 2500, 1),
    ],
    ids=["surrogate", "half_emoji", "not_utf8", "escape_first", "escape_last", "control", "deep", "nul"],
)
def test_one_broken_record_of_an_array_leaves_the_others(
    project: Project, flaw: bytes, place: int, broken: int, window: str
) -> None:
    """Wherever it stands, and whatever is wrong with it: it alone is broken, and read where JSON Lines reads it."""
    now = iso(utc_now()).encode()
    rows = [
        b'{"id": "i%d", "actual_output": "a], [\\"b", "expected_output": "a", "timestamp": "%s"}' % (n, now)
        for n in range(5000)
    ]
    rows[place] = b'{"id": "bad", "actual_output": %s, "expected_output": "a", "timestamp": "%s"}' % (flaw, now)
    project.write("logs/a.json", b"[\n" + b",\n".join(rows) + b"\n]\n")
    project.write("logs/a.jsonl", b"\n".join(rows))
    for name in ("a.json", "a.jsonl"):
        project.write(
            "m.yaml", CONFIG.replace("*.jsonl", name).replace("hours_back: 1", window).replace("hourly", name)
        )
        code, report = run(project)
        assert (code, report["counts"]["broken"], report["counts"]["scored"]) == (0, broken, 5000 - broken)


@pytest.mark.parametrize(
    "text",
    [
        b'[{"id": "a"}, {"id": "b}, {"id": "c"}, {"id": "d}, {"id": "e"}]',
        b'[{"id": "a"}}, [{"id": "b\\x"}]',
        b'[{"id": "a\\x"}, {"id": "b"}',
        b'[{"id": "a\\x"}] {"id": "b"}]',
        b'[{"id": "a\\x"},, {"id": "b"}]',
        b'[{"id": "a\\x"} {"id": "b"}]',
    ],
    ids=["quotes", "brackets", "cut", "behind", "nothing", "no_comma"],
)
def test_an_array_whose_records_have_no_clear_bounds_is_refused(project: Project, text: bytes) -> None:
    """Where one record ends and the next begins must be known, or records would be gone in silence."""
    project.write("logs/a.json", text)
    project.write("m.yaml", CONFIG.replace("*.jsonl", "a.json").replace("hours_back: 1", "window: all"))
    done = project.run("m.yaml", "--json", "--quiet")
    assert done.returncode == 1
    assert "a.json: " in done.stderr
