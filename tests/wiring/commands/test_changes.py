"""What changed stands first, and gates decide whether a run is good enough."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.wiring.project import Project

CONFIG = """\
name: m
source: {type: file, path: items.jsonl, window: all, timestamp_field: source_timestamp}
metrics_config:
  Helpful: {class: exact_match, threshold: 0.5}
  Short: {class: length, max_chars: 20}
report: {group_by: [prompt_version]}
"""
START = datetime(2026, 11, 28, tzinfo=UTC)
FELL = "Helpful fell from 97 % to 48 % (-48 [-61, -36])"


def rows(hours: range, rate: float, version: int) -> str:
    rng = random.Random(version)
    found = [
        {
            "id": f"{h}-{n}",
            "source_timestamp": (START + timedelta(hours=h, minutes=3 * n)).isoformat(),
            "actual_output": "a" if rng.random() < rate else "b",
            "expected_output": "a",
            "metadata": {"prompt_version": version},
        }
        for h in hours
        for n in range(20)
    ]
    return "".join(json.dumps(each) + "\n" for each in found)


def test_a_worse_prompt_is_said_first_everywhere(tmp_path: Path) -> None:
    """Terminal, `--json`, the page and `runs` begin with the change, its interval, hour and the version it came
    with; before it they say that there is none. Segments point at the version, too.
    """
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    before = rows(range(60), 0.97, 1)
    project.write("items.jsonl", before)
    assert "No change that the data can show (2 metrics" in project.run("m.yaml").stdout
    project.write("items.jsonl", before + rows(range(60, 63), 0.56, 2))
    done = project.run("m.yaml", "--json", "--quiet")
    values = json.loads(done.stdout)
    assert values["change"].startswith(FELL) and values["change"].endswith(
        "since 2026-11-30 12:00 UTC, with prompt_version 2."
    )
    helpful = values["changes"][0]
    assert helpful["changed"] and not helpful["better"] and helpful["difference"]["high"] < -0.2
    segments = [(each["label"], each["field"], each["value"], each["worse"]) for each in values["segments"][:2]]
    assert segments == [("Helpful", "prompt_version", "1", False), ("Helpful", "prompt_version", "2", True)]
    page = (tmp_path / "data/reports/m.html").read_text()
    assert page.index(FELL) < page.index("<nav") < page.index('<section id="segments"')
    assert project.run("report", "m.yaml").returncode == 0
    again = (tmp_path / "data/reports/m.html").read_text()
    assert again[again.index(FELL) : again.index('id="run"')] == page[page.index(FELL) : page.index('id="run"')]
    listed = project.run("runs", "m.yaml").stdout.splitlines()
    assert listed[0].startswith(FELL) and "Helpful" in listed[2] and "%" in listed[3]


def test_the_summary_of_a_job_begins_with_the_change(tmp_path: Path) -> None:
    """In a workflow a run appends Markdown to the job's summary: the change, failed gates, a table, escaped names."""
    project = Project(tmp_path)
    gates = "gates: [{metric: Helpful, min: 0.99}]\n"
    project.write("m.yaml", CONFIG.replace("Short:", '"Short | <b>":') + gates)
    project.write("items.jsonl", rows(range(60), 0.97, 1) + rows(range(60, 63), 0.56, 2))
    path = project.write("summary.md", "before\n")
    assert project.run("m.yaml", "--quiet", GITHUB_STEP_SUMMARY=str(path)).returncode == 5
    lines = path.read_text().splitlines()
    assert lines[0] == "before" and lines[1].startswith("### m: Done")
    assert lines[3].startswith(f"**{FELL[:35]}") and lines[5].startswith("- ❌ gate failed: the pass rate of Helpful")
    assert "| Helpful | 1,260 |" in path.read_text() and r"Short \| &lt;b&gt;" in path.read_text()


def test_the_first_run_has_nothing_to_compare_with(tmp_path: Path) -> None:
    """A run without past says so, and shows no column of changes."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    project.write("items.jsonl", rows(range(1), 0.9, 1))
    shown = project.run("m.yaml").stdout
    assert "Nothing to compare with yet" in shown and "change  passes" not in shown


def gated(folder: Path, gates: str) -> Project:
    """A project whose items i0 to i7 have one exact match, and all are short."""
    project = Project(folder)
    project.write("m.yaml", (project.folder / "m.yaml").read_text() + gates)
    return project


@pytest.mark.parametrize(
    ("gate", "code", "sentence"),
    [
        (
            "{metric: Exact, min: 0.8}",
            5,
            "gate failed: the pass rate of Exact is 0.125 in this run, expected at least 0.8",
        ),
        ("{metric: Exact, min: 0.1}", 0, ""),
        ("{metric: Exact, min: 0.1, of: lower_bound}", 5, "the lower bound of the pass rate of Exact"),
        ("{metric: Exact, max: 0.1, value: mean, on: 24h}", 5, "the mean of Exact is 0.125 in the last 24 hours"),
        ("{metric: Short, min: 0.5, max: 1}", 0, ""),
    ],
)
def test_a_gate_decides_the_exit_code(tmp_path: Path, gate: str, code: int, sentence: str) -> None:
    """A run that misses a gate ends with 5 and says which, on the terminal and with --quiet; else with 0."""
    done = gated(tmp_path, f"gates: [{gate}]\n").run("m.yaml")
    assert done.returncode == code, done.stderr
    shown = " ".join(done.stdout.split())
    assert ("gate failed" in shown) == bool(code) and sentence in shown


@pytest.mark.parametrize(
    ("condition", "code"), [("Exact < 0.8", 5), ("Exact<=0.125", 5), ("Short < 0.8", 0), ("Exact > 0.1", 5)]
)
def test_a_condition_of_the_command_line_fails_the_run(tmp_path: Path, condition: str, code: int) -> None:
    """`--fail-on` is a gate for one run; its result is in `--json`."""
    done = Project(tmp_path).run("m.yaml", "--fail-on", condition, "--json", "--quiet")
    assert done.returncode == code, done.stderr
    assert [each["passed"] for each in json.loads(done.stdout)["gates"]] == [not code]


@pytest.mark.parametrize(
    ("gates", "arguments", "message"),
    [
        (
            "gates: [{metric: Exakt, min: 1}]",
            (),
            r"m.yaml:6 +gates: a gate for an unknown metric 'Exakt'.*Did you mean 'Exact'",
        ),
        ("gates: [{metric: Exact}]", (), "expected min, max or both, found neither"),
        ("gates: [{metric: Exact, min: 1, max: 0}]", (), "min 1 is above max 0"),
        ("gates: [{metric: Exact, min: high}]", (), "expected a number"),
        (
            "",
            ("--fail-on", "Exact is bad"),
            "--fail-on 'Exact is bad': expected a metric, <, <=, > or >=, and a number",
        ),
        ("", ("--fail-on", "Exakt < 1"), "--fail-on: a gate for an unknown metric 'Exakt'"),
    ],
)
def test_mistakes_in_gates_stop_the_run(tmp_path: Path, gates: str, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2 with the place and what was expected, before anything is scored."""
    done = gated(tmp_path, gates + "\n").run("m.yaml", *arguments)
    assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
    assert not (tmp_path / "data" / "state").exists()


def test_a_failed_run_is_graver_than_a_gate(tmp_path: Path) -> None:
    """Of several exit codes the gravest is given: too many broken records (3) before a gate (5)."""
    project = gated(tmp_path, "gates: [{metric: Exact, min: 0.8}]\n")
    project.items(3, tuple("{" for _ in range(9)))
    assert project.run("m.yaml").returncode == 3


def test_compare_fails_a_pull_request_that_makes_it_worse(tmp_path: Path) -> None:
    """`compare --fail-on worse` ends with 5 where a metric got worse, and with 0 the other way round."""
    project = Project(tmp_path)
    good, bad = (rows(range(2), rate, 1) for rate in (0.95, 0.4))
    runs = []
    for each in (good, bad):
        project.write("items.jsonl", each)
        runs.append(json.loads(project.run("m.yaml", "--no-dedup", "--json", "--quiet").stdout)["run_id"])
    worse = project.run("compare", "m.yaml", *runs, "--fail-on", "worse")
    assert worse.returncode == 5 and f"worse in {runs[1]}: Exact" in worse.stderr
    assert project.run("compare", "m.yaml", *reversed(runs), "--fail-on", "worse").returncode == 0
    assert project.run("compare", "m.yaml", *runs).returncode == 0
