"""Items that no metric applied to wait for another configuration; they are not gone, and not tried every hour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.adapters.served import postgres_at
from tests.wiring.project import Project

CONFIG = """\
name: unscored
source: {type: file, name: unscored, path: items.jsonl, window: all}
sampling: {strategy: random, n: 6, seed: 1}
metrics_config:
  Exact: {class: exact_match, field_mapping: {expected_output: metadata.wrong}}
publishing: {files: {directory: out}}
"""
MINE = """\
from shared.core.extraction import item_id_from
from shared.core.records import DatasetItem


@item_id_from("id")
def item(record):
    return DatasetItem(id=record["id"], actual_output=record["actual_output"], metadata=record["metadata"])
"""


@pytest.fixture(params=["sqlite", "postgres"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    made = Project(tmp_path)
    url = postgres_at(tmp_path) if request.param == "postgres" else ""
    made.write("store", f"scored_store: {{type: postgres, url: '{url}'}}\n" if url else "")
    write_items(made)
    return made


def write_items(project: Project, **metadata: dict[str, str]) -> None:
    rows = [{"id": f"i{n}", "actual_output": "a", "metadata": metadata.get(f"i{n}", {"gold": "a"})} for n in range(10)]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def run(project: Project, config: str = CONFIG) -> tuple[int, dict[str, Any]]:
    project.write("m.yaml", config + (project.folder / "store").read_text())
    done = project.run("m.yaml", "--json", "--quiet")
    return done.returncode, json.loads(done.stdout)


def published(project: Project) -> set[str]:
    files = (project.folder / "out").rglob("*.jsonl")
    return {json.loads(line)["item_id"] for file in files for line in file.read_text().splitlines()}


def test_a_mended_mapping_scores_what_was_read_before(project: Project) -> None:
    """The same sample, with its estimate, and to the sinks; with an unchanged configuration nothing is tried again."""
    code, report = run(project)
    assert (code, report["counts"]["no_metric"]) == (1, 6)
    again = run(project)[1]
    assert (again["counts"]["scored"], again["counts"]["no_metric"]) == (0, 0)
    code, report = run(project, CONFIG.replace("metadata.wrong", "metadata.gold"))
    assert (code, report["counts"]["scored"], report["counts"]["drawn"]) == (0, 6, 0)
    assert any("6 item(s) that no metric applied to are tried again" in note for note in report["notes"])
    assert [(each["label"], each["n"]) for each in report["estimates"]] == [("Exact", 6)]
    assert len(published(project)) == 6
    assert run(project, CONFIG.replace("metadata.wrong", "metadata.gold"))[1]["status"] == "nothing_new"


def test_items_with_a_score_stay_as_they_are(project: Project) -> None:
    """A metric that is added brings back only items that have no score at all."""
    both = CONFIG.replace("publishing:", "  Short: {class: length, max_chars: 20}\npublishing:")
    assert run(project, both)[1]["counts"]["scored"] == 6
    code, report = run(project, both.replace("metadata.wrong", "metadata.gold"))
    assert (code, report["status"]) == (0, "nothing_new")


@pytest.mark.parametrize("extractor", ["", ", extractor: 'mine:item'"], ids=["read_again", "known_by_id"])
def test_an_item_that_has_changed_is_scored(project: Project, extractor: str) -> None:
    """Only the item whose content is another one now, with the sample's estimate; the others go on waiting."""
    project.write("mine.py", MINE)
    config = CONFIG.replace("window: all", f"window: all{extractor}").replace("random, n: 6, seed: 1", "all")
    assert run(project, config)[1]["counts"]["no_metric"] == 10
    write_items(project, i3={"gold": "a", "other": "thing"})
    counts = run(project, config)[1]["counts"]
    assert (counts["no_metric"], counts["drawn"]) == (1, 0)
    assert run(project, config)[1]["status"] == "nothing_new"
    write_items(project, i3={"gold": "a", "other": "thing"}, i4={"wrong": "a"})
    code, report = run(project, config)
    assert (code, report["counts"]["scored"], report["counts"]["drawn"]) == (0, 1, 0)
    assert any("1 item(s) that no metric applied to are tried again: they have changed" in x for x in report["notes"])
    assert [(each["label"], each["n"]) for each in report["estimates"]] == [("Exact", 1)]
    assert published(project) == {"i4"}
    assert run(project, config)[1]["status"] == "nothing_new"


def test_a_changed_item_that_has_scores_stays_as_it_is(project: Project) -> None:
    """`policy: id` scores it once; a field that no metric reads changes nothing for those without scores either."""
    both = CONFIG.replace("publishing:", "  Short: {class: length, max_chars: 20}\npublishing:")
    assert run(project, both)[1]["counts"]["scored"] == 6
    text = (project.folder / "items.jsonl").read_text()
    project.write("items.jsonl", text.replace('"gold"', '"wrong"'))
    assert run(project, both)[1]["status"] == "nothing_new"


def test_a_change_that_no_metric_reads_brings_nothing_back(project: Project) -> None:
    """The latency of a trace may differ at each look at it."""
    assert run(project)[1]["counts"]["no_metric"] == 6
    text = (project.folder / "items.jsonl").read_text()
    project.write("items.jsonl", text.replace('"actual_output"', '"latency": 3.5, "actual_output"'))
    assert run(project)[1]["status"] == "nothing_new"
