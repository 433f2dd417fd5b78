"""What changed stands first: a worse prompt between two runs is said on every surface."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
    """Terminal, `--json` and `runs` begin with the change, its interval, its hour and the version that it came with;
    before it they say that there is none."""
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
    listed = project.run("runs", "m.yaml").stdout.splitlines()
    assert listed[0].startswith(FELL) and "Helpful" in listed[2] and "%" in listed[3]


def test_the_first_run_has_nothing_to_compare_with(tmp_path: Path) -> None:
    """A run without past says so, and shows no column of changes."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    project.write("items.jsonl", rows(range(1), 0.9, 1))
    shown = project.run("m.yaml").stdout
    assert "Nothing to compare with yet" in shown and "change  passes" not in shown
