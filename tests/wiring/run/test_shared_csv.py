"""Two machines that share the CSV of processed items, each with a state of its own."""

from __future__ import annotations

import json
from pathlib import Path

from tests.wiring.project import PATIENCE, Project

CONFIG = """\
name: shared
source: {{type: file, name: shared, path: items.jsonl, window: all}}
metrics_config: {{Slow: {{class: "slow:slow"}}}}
scored_store: {{type: csv, file_path: {csv}}}
publishing: {{files: {{directory: {out}}}}}
"""
METRIC = """\
import time

from trueline import DatasetItem, metric


@metric(version="1")
def slow(item: DatasetItem) -> float:
    time.sleep(0.05)
    return 1.0
"""


def test_two_machines_with_one_csv_score_every_item_once(tmp_path: Path) -> None:
    """The lock of a stream lies beside the file that they share, not only beside each one's own database."""
    machines = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        project = Project(tmp_path / name)
        project.write("pyproject.toml", "")
        project.write("slow.py", METRIC)
        project.write("m.yaml", CONFIG.format(csv=tmp_path / "scored.csv", out=tmp_path / name / "out"))
        project.items(40)
        machines.append(project)
    processes = [each.started("m.yaml", PYTHONPATH=str(each.folder)) for each in machines]
    ended = [(process.communicate(timeout=PATIENCE), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0], ended
    rows = [json.loads(line) for file in tmp_path.glob("*/out/**/*.jsonl") for line in file.read_text().splitlines()]
    assert len(rows) == 40
    assert len({json.dumps(row.get("item_id", row.get("id"))) for row in rows}) == 40
