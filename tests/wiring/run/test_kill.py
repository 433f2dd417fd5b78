"""Killing a run at any point and running again gives the same final rows as one clean run."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "run_monitoring.py"
CONFIG = """\
name: kill
source: {type: file, name: kill, path: items.jsonl, window: all}
sampling: {strategy: random, n: 150, seed: 5}
metrics_config:
  Exact: {class: exact_match}
  Slow: {class: 'mine:slow', bias: 0.5}
evaluation: {max_concurrent: 4, model: {Both: {Exact: , Slow: }}}
publishing: {files: {directory: out}}
"""
METRIC = """\
import asyncio

async def slow(item, *, bias: float):
    await asyncio.sleep(0.02)
    return bias
"""


def project(folder: Path) -> Path:
    folder.mkdir()
    (folder / ".env").touch()
    (folder / "m.yaml").write_text(CONFIG)
    (folder / "mine.py").write_text(METRIC)
    rows = [{"id": f"i{n:03}", "actual_output": str(n % 3), "expected_output": "1"} for n in range(200)]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def command(*more: str) -> list[str]:
    return [sys.executable, str(SCRIPT), "m.yaml", "--quiet", *more]


def final_rows(folder: Path) -> tuple[list[object], list[object], list[tuple[str, str, float]]]:
    """Scores, decisions and published rows, without what differs between any two runs."""
    with sqlite3.connect(folder / "data" / "state" / "trueline.db") as connection:
        scores = connection.execute(
            "select item_id, label, value, passed, kind, metric_digest from scores order by item_id, label"
        ).fetchall()
        decisions = connection.execute(
            "select item_id, drawn, probability, state from decisions order by item_id"
        ).fetchall()
    published = []
    for file in (folder / "out").rglob("*.jsonl"):
        rows = map(json.loads, file.read_text().splitlines())
        published += [(row["item_id"], row["label"], row["value"]) for row in rows]
    return scores, decisions, sorted(published)


@pytest.mark.slow
def test_kills_leave_no_trace_in_the_final_rows(tmp_path: Path) -> None:
    """No score missing, none double, none different, in the database and in what was published."""
    clean, killed = project(tmp_path / "clean"), project(tmp_path / "killed")
    subprocess.run(command(), cwd=clean, check=True, timeout=120)
    chance = random.Random(11)
    died = 0
    for _ in range(6):
        running = subprocess.Popen(command(), cwd=killed)
        time.sleep(chance.uniform(0.2, 1.8))
        running.send_signal(signal.SIGKILL)
        died += running.wait(timeout=60) == -signal.SIGKILL
    assert died
    subprocess.run(command(), cwd=killed, check=True, timeout=120)
    assert final_rows(killed) == final_rows(clean)
