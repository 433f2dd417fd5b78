"""A failure that no other try can help is tried once."""

from __future__ import annotations

import json
from pathlib import Path

from tests.wiring.project import Project

CONFIG = """\
name: once
source: {type: file, name: once, path: items.jsonl, window: all}
evaluation: {max_failure_share: 1}
metrics_config:
  Judge: {class: llm_judge, model: offline, rubric: "Is it right?", scale: pass_fail}
  Short: {class: length, max_chars: 20}
"""


def test_a_text_that_is_too_long_for_the_judge_is_not_tried_again(tmp_path: Path) -> None:
    """Its item is finished with the scores that it has; one that failed for another reason waits for its next try."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    project.write("items.jsonl", json.dumps({"id": "long", "query": "q", "actual_output": "x" * 100_001}) + "\n")
    done = project.run("m.yaml", "--json", "--quiet")
    report = json.loads(done.stdout)
    assert report["failure_kinds"] == {"JudgeTooLong": 1}
    assert any("1 item(s) are not tried again" in note for note in report["notes"])
    again = json.loads(project.run("m.yaml", "--json", "--quiet").stdout)
    assert again["status"] == "nothing_new" and again["counts"]["failures"] == 0
    assert [(item, label) for item, label, _ in project.scores()] == [("long", "Short")]
