"""`trueline judge-report` and the blocks `labels` and `anchors`, as a user meets them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.wiring.project import CONFIG, Project

LABELS = "labels: {type: file, path: labels.csv}\n"
ANCHORS = "anchors: {path: anchors.jsonl, every: 7d, repeats: 2}\n"
METRIC = "def short(item, *, most: int = 3):\n    return float(len(item.actual_output) <= most)\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """120 answers, of which the judge `Short` passes those of up to three characters; humans passed every second."""
    made = Project(tmp_path)
    made.items(120)
    made.write("mine.py", METRIC)
    made.write(
        "m.yaml",
        CONFIG.replace("  Short: {class: length, max_chars: 20}", "  Short: {class: 'mine:short', threshold: 0.5}"),
    )
    made.write(
        "labels.csv", "item_id,label,value,who\n" + "".join(f"i{n},Short,{n % 2},ann\n" for n in range(0, 120, 2))
    )
    rows = [{"id": f"a{n}", "actual_output": "x" * n, "labels": {"Short": n < 4}} for n in range(1, 9)]
    made.write("anchors.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return made


def add(project: Project, text: str) -> None:
    path = project.folder / "m.yaml"
    path.write_text(path.read_text() + text)


def test_a_config_without_labels_is_told_what_to_add(project: Project) -> None:
    done = project.run("judge-report", "m.yaml")
    assert done.returncode == 2
    assert "labels: {type: file, path: ...}" in done.stderr


def test_before_the_first_run_there_is_nothing_to_report(project: Project) -> None:
    add(project, LABELS)
    done = project.run("judge-report", "m.yaml")
    assert done.returncode == 2 and "run the monitor first" in done.stderr


def test_the_report_says_how_far_the_judge_can_be_trusted(project: Project) -> None:
    """A run shows a line, the page a section, the command everything; --json the same as values."""
    add(project, LABELS + ANCHORS)
    run = project.run("m.yaml")
    assert run.returncode == 0, run.stderr
    assert "judges against human labels" in run.stdout and "Short: 60 labels" in run.stdout
    assert "anchors: Short judged 8 anchors 2 times (first)" in run.stdout
    assert "Judges against human labels" in (project.folder / "data" / "reports" / "cli.html").read_text()
    done = project.run("judge-report", "m.yaml")
    assert done.returncode == 0, done.stderr
    assert all(words in done.stdout for words in ("humans pass", "Rogan-Gladen", "where they differ", "anchors"))
    (view,) = json.loads(project.run("judge-report", "m.yaml", "--json").stdout)["views"]
    assert (view["label"], view["judged"], view["labelled"]) == ("Short", 120, 60)
    assert view["anchors"]["points"][0]["reason"] == "first"


def test_a_changed_judge_is_held_to_its_anchors_again(project: Project) -> None:
    """The run that changes the judge judges the anchors, and the report tells the judge's move; others do not."""
    add(project, LABELS + ANCHORS)
    project.run("m.yaml", "--quiet")
    assert "anchors:" not in project.run("m.yaml").stdout
    run = project.run("m.yaml", "--set", "metrics_config.Short.most=6")
    assert "anchors: Short judged 8 anchors 2 times (judge changed)" in " ".join(run.stdout.split())
    told = project.run("judge-report", "m.yaml", "--set", "metrics_config.Short.most=6").stdout
    assert "the judge changed by +37.5 points" in told
    assert "the version that is configured now has judged no item yet" in told


def test_labels_know_items_by_their_own_ids(project: Project) -> None:
    """Where an item is scored again when its content changes, stored ids are longer than those in the label file; the
    item's newest version counts, once."""
    add(project, LABELS + "scored_store: {policy: content_or_metric}\n")
    project.run("m.yaml", "--quiet")
    project.items(140)
    project.write("items.jsonl", (project.folder / "items.jsonl").read_text().replace('"a5"', '"a555"'))
    project.run("m.yaml", "--quiet")
    (view,) = json.loads(project.run("judge-report", "m.yaml", "--json").stdout)["views"]
    assert (view["judged"], view["labelled"], view["unscored"]) == (140, 60, 0)


def test_runs_that_leave_no_mark_judge_no_anchors(project: Project) -> None:
    add(project, ANCHORS)
    for option in ("--dry-run", "--no-dedup"):
        assert project.run("m.yaml", option).returncode == 0
    state = project.folder / "data" / "state" / "trueline.db"
    with sqlite3.connect(state) as connection:
        assert connection.execute("select count(*) from anchor_passes").fetchone() == (0,)


def test_labels_that_cannot_be_read_fail_no_run(project: Project) -> None:
    """The scores are stored by then: the run says it and goes on; the report itself fails with file and line."""
    add(project, LABELS)
    project.write("labels.csv", "item_id,label,value\ni1,Short,perhaps\n")
    run = project.run("m.yaml")
    assert run.returncode == 0 and "labels.csv:2" in run.stdout
    done = project.run("judge-report", "m.yaml")
    assert done.returncode == 1 and "labels.csv:2: value: found 'perhaps'" in done.stderr


def test_anchors_with_labels_for_nobody_are_judged_by_nobody(project: Project) -> None:
    """A misspelt label does not put the anchors to every metric, which may cost money."""
    text = (project.folder / "anchors.jsonl").read_text().replace("Short", "Shrot")
    project.write("anchors.jsonl", text)
    add(project, ANCHORS)
    told = " ".join(project.run("m.yaml").stdout.split())
    assert "the anchors were not judged: no metric is called 'Shrot'" in told and "Did you mean 'Short'?" in told
    assert "judged 8 anchors" not in told


def test_an_extractor_that_gives_no_item_fails_no_run(project: Project) -> None:
    project.write("mine.py", METRIC + "\n\ndef nothing(record):\n    return None\n")
    add(project, ANCHORS.replace("repeats: 2", "extractor: 'mine:nothing'"))
    run = project.run("m.yaml")
    assert run.returncode == 0, run.stderr
    assert "the extractor gave None" in run.stdout


def test_a_judge_that_cannot_be_asked_about_anchors_fails_no_run(project: Project) -> None:
    """What was scored is told, and the page is written."""
    refusal = "    if item.id.startswith('a'):\n        raise ConfigError('no such key')\n"
    head, _, tail = METRIC.partition("\n")
    project.write("mine.py", f"from shared.core.errors import ConfigError\n\n\n{head}\n{refusal}{tail}")
    add(project, ANCHORS)
    run = project.run("m.yaml")
    assert run.returncode == 0, run.stderr
    assert "the anchors were not judged: no such key" in run.stdout and "120 items scored" in run.stdout


def test_a_label_that_is_no_metric_is_a_note_and_no_judge(project: Project) -> None:
    """Whatever stands there, such as an address in the wrong column, is told once and redacted."""
    add(project, LABELS)
    with (project.folder / "labels.csv").open("a") as file:
        file.write("i1,jane.roe@example.com,1,ann\n")
    page = project.run("m.yaml", SAFE_MODE="1").stdout + (project.folder / "data/reports/cli.html").read_text()
    for told in (
        page,
        *(project.run("judge-report", "m.yaml", *how, SAFE_MODE="1").stdout for how in ([], ["--json"])),
    ):
        assert "jane.roe" not in told and "labels for '[EMAIL]'" in told.replace("&#39;", "'")
        assert "Short" in told


def test_values_have_names_in_json(project: Project) -> None:
    """Nobody has to know the order of an interval's ends or of a table's cells."""
    add(project, LABELS)
    project.run("m.yaml", "--quiet")
    (view,) = json.loads(project.run("judge-report", "m.yaml", "--json").stdout)["views"]
    assert view["passes"].keys() == {"value", "low", "high"}
    assert view["agreement"]["confusion"].keys() == {"both_pass", "judge_only", "people_only", "both_fail"}
    assert {each["method"]: each["found"] for each in view["corrections"]}["people alone"]["se"] is None


def test_a_judge_that_has_judged_nothing_has_no_empty_version(project: Project) -> None:
    """Labels may come before the first scored item."""
    add(project, LABELS)
    project.write("items.jsonl", "")
    project.run("m.yaml", "--quiet")
    shown = project.run("judge-report", "m.yaml").stdout
    assert "Short  (has judged no item yet)" in shown and "people" not in shown, shown


def test_anchors_that_cannot_be_read_fail_no_run(project: Project) -> None:
    add(project, ANCHORS.replace("anchors.jsonl", "gone.jsonl"))
    run = project.run("m.yaml")
    assert run.returncode == 0 and "the anchors were not judged" in run.stdout and "gone.jsonl" in run.stdout


def test_a_label_file_without_labels_is_told(project: Project) -> None:
    """An export that came out empty is not taken for people who have nothing to say."""
    project.write("labels.csv", "item_id,label,value,who\n")
    add(project, LABELS)
    assert "! file labels.csv: there are no labels in it" in project.run("m.yaml").stdout
    done = project.run("judge-report", "m.yaml")
    assert done.returncode == 0 and "! file labels.csv: there are no labels in it" in done.stdout


def test_labels_for_no_metric_name_the_nearest(project: Project) -> None:
    add(project, LABELS)
    project.write("labels.csv", "item_id,label,value\ni1,Shrt,1\n")
    project.run("m.yaml", "--quiet")
    done = project.run("judge-report", "m.yaml")
    assert (
        done.returncode == 0
        and "no metric of this monitor is called. Known: 'Exact', 'Short'. Did you mean" in done.stdout
    )


def test_an_empty_label_file_is_said(project: Project) -> None:
    add(project, LABELS)
    project.write("labels.csv", "item_id,label,value\n")
    project.run("m.yaml", "--quiet")
    done = project.run("judge-report", "m.yaml")
    assert done.returncode == 0 and "nothing to compare" in done.stdout


def test_safe_mode_keeps_texts_and_ids_in(project: Project) -> None:
    """What the judge and people see differently is shown redacted, ids that hold personal data hashed."""
    add(project, LABELS)
    rows = [{"id": f"jane{n}@example.com", "actual_output": "call jane@example.com"} for n in range(30)]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write("labels.csv", "item_id,label,value\n" + "".join(f"jane{n}@example.com,Short,1\n" for n in range(30)))
    project.run("m.yaml", "--quiet", SAFE_MODE="1")
    told = project.run("judge-report", "m.yaml", SAFE_MODE="1").stdout
    assert "where they differ" in told and "example.com" not in told
    assert "example.com" not in project.run("judge-report", "m.yaml", "--json", SAFE_MODE="1").stdout
    assert "jane0@example.com" in project.run("judge-report", "m.yaml").stdout


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (
            "labels: {type: fil, path: x}\n",
            "labels.type: unknown label source 'fil'. Known: 'file', 'langfuse', 'slack'. Did you mean 'file'?",
        ),
        ("labels: {path: x}\n", "labels.type: 'type' is missing"),
        ("labels: {type: file}\n", "labels.path: 'path' is missing"),
        ("labels: {type: file, path: x, chosn: at_random}\n", "labels.chosn: unknown key 'chosn'"),
        ("labels: [{type: file, path: x, chosen: randomly}]\n", "labels[0].chosen: found 'randomly'"),
        (
            "labels: [{type: file, path: x}, {type: file, path: y, chosen: elsewhere}]\n",
            "found chosen: at_random and elsewhere; labels chosen in different ways cannot be taken together",
        ),
        (
            "anchors: {path: x, every: weekly}\n",
            "expected a number with m, h, d or w such as 12h or 7d, found 'weekly'",
        ),
        ("anchors: {path: x, metrics: [Shrt]}\n", "anchors.metrics[0]: unknown label 'Shrt'"),
        ("anchors: {path: x, extractor: nope}\n", "anchors.extractor: unknown extractor 'nope'"),
        ("anchors: {path: x, repeats: 0}\n", "anchors.repeats"),
    ],
)
def test_mistakes_are_told_with_their_place(project: Project, block: str, says: str) -> None:
    add(project, block)
    done = project.run("check", "m.yaml")
    assert done.returncode == 2
    assert says in done.stderr, done.stderr


def test_check_says_where_verdicts_come_from(project: Project) -> None:
    add(project, LABELS + ANCHORS)
    done = project.run("check", "m.yaml")
    assert "labels      file labels.csv, chosen at random" in done.stdout
    assert "anchors     anchors.jsonl: judged when a judge changes and every 7d, 2 votes each" in done.stdout
    assert "file" in project.run("list", "labels").stdout
