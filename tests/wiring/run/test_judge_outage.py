"""A sample that a judge's outage interrupts is estimated by the run that finishes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wiring.project import Project

METRICS = """\
from pathlib import Path

from trueline import DatasetItem, metric


@metric(version="1")
def judge(item: DatasetItem) -> float:
    down = Path("down").read_text().split() if Path("down").exists() else []
    if "all" in down or item.id in down:
        raise RuntimeError("the server is down")
    return float(int(item.id[1:]) % 2)
"""
CONFIG = """\
name: outage
source: {type: file, name: outage, path: items.jsonl, window: all}
sampling: {strategy: random, n: 30, seed: 3}
metrics_config:
  Judge: {class: "own_judge:judge"}
  Exact: {class: exact_match}
  Short: {class: length, max_chars: 20}
  Long: {class: length, max_chars: 200}
  Longer: {class: length, max_chars: 300}
  Longest: {class: length, max_chars: 400}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG)
    made.write("own_judge.py", METRICS)
    made.items(50)
    return made


def sizes(project: Project, *arguments: str) -> dict[str, int]:
    """How many scores of each metric the estimates of one run cover."""
    done = project.run("m.yaml", "--json", "--quiet", *arguments, PYTHONPATH=str(project.folder))
    report: dict[str, Any] = json.loads(done.stdout)
    return {each["label"]: each["n"] for each in report["estimates"]}


@pytest.mark.parametrize("allowed", ["0.2", "1"])
def test_the_run_after_the_outage_gives_the_estimates(project: Project, allowed: str) -> None:
    """One judge of six is down for a run: that run shows what it has, the next one estimates the whole sample."""
    limit = ("--set", f"evaluation.max_failure_share={allowed}")
    project.write("down", "all")
    assert sizes(project, *limit) == {"Exact": 30, "Judge": 0, "Short": 30, "Long": 30, "Longer": 30, "Longest": 30}
    (project.folder / "down").unlink()
    assert set(sizes(project, *limit).values()) == {30}
    assert sizes(project, *limit) == {}


def test_an_outage_that_outlasts_all_tries_ends_in_estimates(project: Project) -> None:
    """What was given up is reported once, with its failures, and no later run waits for it."""
    project.write("down", "all")
    found = [sizes(project, "--set", "evaluation.max_attempts=3") for _ in range(4)]
    assert [(each.get("Judge"), each.get("Exact")) for each in found] == [(0, 30), (None, None), (0, 30), (None, None)]


def test_a_stubborn_item_does_not_bring_its_sample_back(project: Project) -> None:
    """A few failures wait for another try; the estimates of their sample are given once, at once."""
    project.write("down", " ".join(f"i{n}" for n in range(0, 50, 12)))
    first = sizes(project)
    assert 25 <= first["Judge"] < 30
    (project.folder / "down").unlink()
    assert sizes(project) == {}


def test_new_items_join_the_sample_that_waits(project: Project) -> None:
    """After the outage one run estimates both the sample that waited and its own."""
    project.write("down", "all")
    sizes(project)
    (project.folder / "down").unlink()
    project.items(90)
    assert set(sizes(project).values()) == {60}
