"""`trueline runs`, `compare` and `explain`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.database.engine.database import open_database
from shared.database.runs.sql_scored_items import SqlScoredItems
from tests.wiring.project import CONFIG, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def told(project: Project, *words: str, code: int = 0, **environment: str) -> str:
    done = project.run(*words, **environment)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def values(project: Project, *words: str) -> Any:
    return json.loads(told(project, *words, "--json"))


@pytest.mark.parametrize("words", [("runs", "m.yaml"), ("compare", "m.yaml", "a", "b"), ("explain", "m.yaml", "i1")])
def test_before_the_first_run_there_is_nothing_to_tell(project: Project, words: tuple[str, ...]) -> None:
    assert "run the monitor first" in told(project, *words, code=2)
    assert not (project.folder / "data").exists()


def test_runs_are_listed_newest_first_and_shown_whole(project: Project) -> None:
    told(project, "m.yaml")
    told(project, "m.yaml", "--no-dedup")
    told(project, "m.yaml")
    newest, alone, first = values(project, "runs", "m.yaml")
    assert [each["status"] for each in (newest, alone, first)] == ["nothing_new", "done", "done"]
    assert (first["counts"]["scored"], first["stream"]["monitor_key"]) == (8, "cli")
    text = told(project, "runs", "m.yaml")
    assert text.index(newest["run_id"]) < text.index(alone["run_id"]) < text.index(first["run_id"])
    assert "Done *" in text and "--no-dedup" in text
    assert len(values(project, "runs", "m.yaml", "--limit", "1")) == 1
    shown = told(project, "runs", "m.yaml", "show", first["run_id"])
    assert first["run_id"] in shown and first["config_digest"] in shown and "8 items scored" in shown
    whole = values(project, "runs", "m.yaml", "show", first["run_id"])
    assert whole["config_text"] == CONFIG and len(whole["estimates"]) == 2
    assert values(project, "runs", "m.yaml", "show")["run_id"] == newest["run_id"]


def test_a_run_is_found_by_the_beginning_of_its_id(project: Project) -> None:
    told(project, "m.yaml")
    told(project, "m.yaml")
    newest, first = (each["run_id"] for each in values(project, "runs", "m.yaml"))
    assert values(project, "runs", "m.yaml", "show", first[:-1])["run_id"] == first
    assert "is the beginning of 2 ids" in told(project, "runs", "m.yaml", "show", "cli-", code=2)
    assert f"is not known. The newest of this monitor: {newest}" in told(project, "runs", "m.yaml", "show", "x", code=2)


def test_failures_of_a_run_are_shown_in_their_own_words(project: Project) -> None:
    project.write("mine.py", "def bad(item):\n    raise ValueError('no ' + item.id)\n")
    project.write("m.yaml", CONFIG + "  Bad: {class: 'mine:bad'}\n")
    project.run("m.yaml")
    shown = told(project, "runs", "m.yaml", "show")
    assert "Bad on i0: ValueError: no i0" in shown and "Too many failures" in shown


def test_a_forgotten_configuration_is_said(project: Project) -> None:
    done = project.run("runs", "show")
    assert (done.returncode, "`trueline runs CONFIG show ID`" in done.stderr) == (2, True)


def test_two_runs_on_the_same_items_are_compared(project: Project) -> None:
    """A changed parameter is named, what moved is told, and what did not has p = 1."""
    project.write("mine.py", "def short(item, *, most: int = 3):\n    return float(int(item.id[1:]) < most)\n")
    project.write("m.yaml", CONFIG + "  Low: {class: 'mine:short', threshold: 0.5}\n")
    told(project, "m.yaml", "--no-dedup")
    told(project, "m.yaml", "--no-dedup", "--set", "metrics_config.Low.most=1")
    later, earlier = (each["run_id"] for each in values(project, "runs", "m.yaml"))
    text = told(project, "compare", "m.yaml", earlier, later)
    assert "8 items scored by both" in text and "Low was made differently" in " ".join(text.split())
    assert "i1 1 -> 0; i2 1 -> 0" in text
    found = values(project, "compare", "m.yaml", earlier, later)
    by_label = {each["label"]: each for each in found["labels"]}
    assert (by_label["Low"]["worse"], by_label["Low"]["better"], by_label["Low"]["passes"]["p"]) == (2, 0, 0.5)
    assert by_label["Exact"]["passes"]["p"] == 1.0
    assert by_label["Low"]["values"]["most"][0]["item_id"] == "i1"


def test_runs_of_different_items_are_compared_by_their_estimates(project: Project) -> None:
    told(project, "m.yaml")
    project.items(16)
    told(project, "m.yaml")
    later, earlier = (each["run_id"] for each in values(project, "runs", "m.yaml"))
    text = told(project, "compare", "m.yaml", earlier, later)
    assert "No item was scored by both (8 by A, 8 by B)" in text and "Exact, pass rate" in text


def test_a_metric_that_changed_scores_again_and_is_compared(project: Project) -> None:
    """With the policy `metric` items have new ids in stored state; they pair, and their story tells both versions."""
    project.write("m.yaml", CONFIG + "scored_store: {policy: metric}\n")
    told(project, "m.yaml")
    told(project, "m.yaml", "--set", "metrics_config.Short.max_chars=1")
    later, earlier = (each["run_id"] for each in values(project, "runs", "m.yaml"))
    assert values(project, "compare", "m.yaml", earlier, later)["paired"] == 8
    stories = values(project, "explain", "m.yaml", "i3")["stories"]
    assert [each["run_id"] for each in stories] == [earlier, later]
    assert "not by the metric as it is configured now" in told(
        project, "explain", "m.yaml", "i3", "--set", "metrics_config.Short.max_chars=1"
    )


def test_the_story_of_an_item(project: Project) -> None:
    """Scored by whom, and without a sink not published; a metric added later is the reason for its missing score."""
    told(project, "m.yaml")
    text = told(project, "explain", "m.yaml", "i1")
    assert (
        "Scored and processed (no message to a sink is stored): 2 scores." in text
        and "Exact: 1, passed" in text
        and "exact_match v" in text
    )
    project.write("m.yaml", CONFIG + "  More: {class: length, max_chars: 5}\n")
    (story,) = values(project, "explain", "m.yaml", "i1")["stories"]
    (gap,) = story["missing"]
    assert gap["label"] == "More" and "policy: never" in gap["why"]


def test_the_story_of_an_item_that_was_not_drawn(project: Project) -> None:
    project.write("m.yaml", CONFIG + "sampling: {strategy: random, n: 1, seed: 3}\n")
    told(project, "m.yaml")
    drawn = project.scores()[0][0]
    other = "i0" if drawn != "i0" else "i1"
    assert "Not scored: it was not sampled (inclusion probability 0.125)" in told(project, "explain", "m.yaml", other)


def test_the_story_of_an_item_that_fails_until_it_is_given_up(project: Project) -> None:
    project.write("mine.py", "def bad(item):\n    raise ValueError('no ' + item.id)\n")
    limits = "evaluation: {max_attempts: 2, max_failure_share: 1.0}\n"
    project.write("m.yaml", CONFIG + "  Bad: {class: 'mine:bad'}\n" + limits)
    told(project, "m.yaml")
    assert "Failing: 1 of 2 tries are used" in told(project, "explain", "m.yaml", "i2")
    told(project, "m.yaml")
    told(project, "m.yaml")
    text = told(project, "explain", "m.yaml", "i2")
    assert "Given up after 2 tries and processed (no message to a sink is stored): 2 scores, 1 without one." in text
    assert "try 2" in text and "Bad: ValueError: no i2" in text


def test_an_item_never_seen_is_told_with_the_nearest(project: Project) -> None:
    """And with the broken record that names it."""
    project.items(8, ('{"id": "i99", "latency": "slow"}',))
    told(project, "m.yaml")
    for item, answer in (("i7x", "Did you mean 'i7'?"), ("i99", "Never seen")):
        done = project.run("explain", "m.yaml", item)
        said = " ".join(done.stdout.split())
        assert (done.returncode, "Never seen" in said, answer in said) == (1, True, True)
    done = project.run("explain", "m.yaml", "zzzz", "--json")
    assert (done.returncode, json.loads(done.stdout)["stories"]) == (1, [])


def test_an_item_may_be_given_by_its_only_beginning(project: Project) -> None:
    """Of several that begin so, some are named."""
    rows = [{"id": f"trace-{n}-of-today", "actual_output": "a", "expected_output": "a"} for n in range(3)]
    project.write("items.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    told(project, "m.yaml")
    assert values(project, "explain", "m.yaml", "trace-1")["item_id"] == "trace-1-of-today"
    done = project.run("explain", "m.yaml", "trace-")
    assert done.returncode == 1
    assert "several ids, such as 'trace-0-of-today', 'trace-1-of-today'" in " ".join(done.stdout.split())


def test_an_item_whose_state_was_lost_is_known_by_its_mark(project: Project) -> None:
    """The CSV store outlives the database beside it."""
    project.write("m.yaml", CONFIG + "scored_store: {type: csv, file_path: marks.csv}\n")
    told(project, "m.yaml")
    for path in (project.folder / "data" / "state").glob("trueline.db*"):
        path.unlink()
    new = json.dumps({"id": "i1 of today", "actual_output": "a", "expected_output": "a"})
    project.write("items.jsonl", (project.folder / "items.jsonl").read_text() + new + "\n")
    told(project, "m.yaml")  # whose id begins like the lost one's is another item
    assert "no longer in the state" in " ".join(told(project, "explain", "m.yaml", "i1").split())


def test_an_item_that_was_forgotten_is_not_known(project: Project) -> None:
    """That it came twice at the time is left of it, and is no story."""
    once = (project.folder / "items.jsonl").read_text()
    project.write("items.jsonl", once + once)
    told(project, "m.yaml")
    database = open_database(project.folder / "data" / "state" / "trueline.db")
    assert SqlScoredItems(database).clear() == 8
    database.close()
    done = project.run("explain", "m.yaml", "i1")
    assert (done.returncode, "Never seen" in done.stdout) == (1, True)


def test_safe_mode_holds_here_too(project: Project) -> None:
    """Ids that are personal data are hashed, and what metrics said in words is left out."""
    rows = [{"id": f"ann{n}@example.com", "actual_output": f"a{n}", "expected_output": "a1"} for n in range(3)]
    project.write("items.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    project.write("mine.py", "def bad(item):\n    raise ValueError('no ' + item.id)\n")
    project.write("m.yaml", CONFIG + "  Bad: {class: 'mine:bad'}\nevaluation: {max_failure_share: 1.0}\n")
    told(project, "m.yaml", "--no-dedup")
    told(project, "m.yaml", "--no-dedup", "--set", "metrics_config.Short.max_chars=1")
    later, earlier = (each["run_id"] for each in values(project, "runs", "m.yaml"))
    for code, words in (
        (0, ("explain", "m.yaml", "ann1@example.com")),
        (1, ("explain", "m.yaml", "ann9@example.com")),
        (1, ("explain", "m.yaml", "ann")),
        (0, ("runs", "m.yaml", "show", later)),
        (0, ("compare", "m.yaml", earlier, later)),
    ):
        for form in ((), ("--json",)):
            done = project.run(*words, *form, SAFE_MODE="1")
            assert (done.returncode, "example.com" in done.stdout + done.stderr) == (code, False), words
            assert done.stdout.strip()
