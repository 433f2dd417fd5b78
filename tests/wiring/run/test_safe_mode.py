"""SAFE_MODE, end to end: a project whose traces are full of personal data, run as a real process."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.wiring.project import ran

SECRETS = (
    "canary@example.com", "415-555-0132", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "536-90-4399",
    "203.0.113.45", "shop.example.org", "sk-proj-4fT9aZ1kLmQ8vB2xN7cR5wYd", "Wanda Example", "session-77",
    "member-4711",
)  # fmt: skip
TEXT = (
    "I am Wanda Example, canary@example.com, call 415-555-0132, card 4111 1111 1111 1111, "
    "IBAN DE89 3704 0044 0532 0130 00, SSN 536-90-4399, from 203.0.113.45, see https://shop.example.org/?u=1, "
    "key sk-proj-4fT9aZ1kLmQ8vB2xN7cR5wYd."
)
CONFIG = """\
name: safe
source: {{type: file, name: safe, path: items.jsonl, window: all}}
metrics_config:
  Echo: {{class: echo_metric:echo}}
  Fails: {{class: echo_metric:fails}}
evaluation: {{max_failure_share: 1.0, max_attempts: 1}}
publishing: {{files: {{directory: out, format: {format}}}}}
privacy:
  entities: {{PERSON: [Wanda Example]}}
  {more}
"""
METRICS = '''
import logging, sys
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.metric import metric

@metric(version="1")
def echo(item: DatasetItem) -> Score:
    """Says what it read."""
    logging.getLogger("mine").warning("judging %s", item.query)
    return Score(0.5, f"read: {item.query}", {"quote": item.actual_output, "user_id": "member-4711"})

@metric(version="1")
def fails(item: DatasetItem) -> Score:
    """Fails with what it read."""
    raise ValueError("cannot judge " + str(item.query))
'''


class Project:
    """A folder with two items full of personal data and one broken record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".env").touch()
        (folder / "echo_metric.py").write_text(METRICS)
        self.config()
        row = {
            "query": TEXT, "actual_output": f"Answer: {TEXT}", "expected_output": TEXT, "retrieved_content": [TEXT],
            "session_id": "session-77", "trace_id": "canary@example.com",
            "metadata": {"user_id": "member-4711", "a": TEXT},
        }  # fmt: skip
        rows = [{"id": "item-1", **row}, {"id": "canary@example.com", **row}, {"id": "item-3", "latency": TEXT}]
        (folder / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))

    def config(self, form: str = "jsonl", more: str = "") -> None:
        (self.folder / "m.yaml").write_text(CONFIG.format(format=form, more=more))

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return ran(self.folder, *arguments, COLUMNS="400", **environment)

    def page(self) -> str:
        return (self.folder / "data" / "reports" / "safe.html").read_text()

    def rows(self) -> str:
        return "".join(path.read_text() for path in sorted((self.folder / "out").rglob("scores-*")))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def leaks(*texts: str) -> list[str]:
    """Which of the secrets can be read in the texts, however they are escaped."""
    return [each for each in SECRETS if any(each in text for text in texts)]


def test_without_safe_mode_the_same_run_shows_them(project: Project) -> None:
    """The tests below are worth something: without SAFE_MODE all but the key, which never leaves, is to be seen."""
    done = project.run("m.yaml", SAFE_MODE="0")
    assert done.returncode == 0, done.stderr
    personal = [each for each in SECRETS if not each.startswith("sk-")]
    assert leaks(project.page(), project.rows(), done.stdout, done.stderr) == personal


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_nothing_raw_leaves_the_process(project: Project, form: str) -> None:
    """Report, terminal, log and file sink hold none of it, and show that something was there."""
    project.config(form)
    done = project.run("m.yaml", SAFE_MODE="1")
    assert done.returncode == 0, done.stderr
    assert leaks(project.page(), project.rows(), done.stdout, done.stderr) == []
    assert "I am [PERSON], [EMAIL], call [PHONE], card [CARD]" in project.page()
    assert "judging I am [PERSON]" in done.stderr and "cannot judge I am [PERSON]" in project.rows()
    assert "item-1" in project.page() and "item-1" in project.rows()


def test_json_and_the_report_made_again_hold_nothing_raw(project: Project) -> None:
    """`--json` prints the whole report, `trueline report` makes the page from what is stored: both redacted."""
    done = project.run("m.yaml", "--json", SAFE_MODE="1")
    found = json.loads(done.stdout)
    assert found["counts"]["scored"] + found["counts"]["failed_items"] == 2 and found["counts"]["broken"] == 1
    (project.folder / "data" / "reports" / "safe.html").unlink()
    again = project.run("report", "m.yaml", SAFE_MODE="1")
    assert again.returncode == 0, again.stderr
    assert leaks(done.stdout, done.stderr, again.stdout, again.stderr, project.page()) == []


def test_the_state_keeps_what_scoring_needs(project: Project) -> None:
    """The database is where texts stay: metrics that fail are tried again on the text as it was."""
    project.run("m.yaml", SAFE_MODE="1")
    with sqlite3.connect(project.folder / "data" / "state" / "trueline.db") as connection:
        stored = json.dumps(connection.execute("select * from items").fetchall(), default=str)
    assert "canary@example.com" in stored


def test_hashes_are_those_of_the_configured_key(project: Project, tmp_path: Path) -> None:
    """With PRIVACY_KEY sessions and personal ids have the same hash in every run; without it they do not."""
    found = []
    for key in ("one", "one", "two"):
        project.run("m.yaml", "--no-dedup", "--publish", SAFE_MODE="1", PRIVACY_KEY=key)
        rows = [json.loads(line) for line in project.rows().splitlines()]
        found.append({row["session_id"] for row in rows} | {row["item_id"] for row in rows})
        for path in (project.folder / "out").rglob("scores-*"):
            path.unlink()
    assert found[0] == found[1] != found[2]
    assert "item-1" in found[0] and len(found[0]) == 3


def test_always_redacts_without_safe_mode(project: Project) -> None:
    """`privacy: {always: true}` makes the redaction part of the monitor."""
    project.config(more="always: true")
    done = project.run("m.yaml")
    assert leaks(project.page(), project.rows(), done.stdout, done.stderr) == []


def test_the_page_can_leave_texts_out_altogether(project: Project) -> None:
    """Names that no pattern knows stay in redacted texts: `show_text: false` shows ids and scores only."""
    project.config(more="show_text: false")
    project.run("m.yaml", SAFE_MODE="1")
    assert "I am" not in project.page() and "item-1" in project.page()


def test_only_the_kinds_asked_for_are_redacted(project: Project) -> None:
    """`redact` chooses kinds, `allow` leaves texts."""
    project.config(more="redact: [email, ip]\n  allow: ['203.0.113.*']")
    project.run("m.yaml", SAFE_MODE="1")
    assert "[EMAIL], call 415-555-0132" in project.page() and "203.0.113.45" in project.page()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("redact: [emial]", "privacy.redact.0"),
        ("entities: {staff: x}", "expected a name in capitals"),
        ("regions: [usa]", "two capital letters"),
        ("hide: all", "unknown key 'hide'"),
    ],
)
def test_mistakes_in_the_block_are_told(project: Project, more: str, words: str) -> None:
    """The block is read as strictly as all others."""
    text = CONFIG.format(format="jsonl", more="").replace("  entities: {PERSON: [Wanda Example]}", f"  {more}")
    (project.folder / "m.yaml").write_text(text)
    done = project.run("check", "m.yaml")
    assert done.returncode == 2 and "m.yaml:" in done.stderr and "privacy" in done.stderr
    assert words.replace("privacy.redact.0", "redact") in done.stderr


def test_an_error_that_ends_the_run_is_redacted(project: Project) -> None:
    """What `--debug` shows and what is said without it holds nothing raw."""
    config = (project.folder / "m.yaml").read_text().replace("window: all", "window: all, extractor: 'raising:extract'")
    (project.folder / "m.yaml").write_text(config)
    (project.folder / "raising.py").write_text("def extract(record):\n    raise KeyboardInterrupt(str(record))\n")
    done = project.run("m.yaml", SAFE_MODE="1")
    assert done.returncode == 130 and leaks(done.stdout, done.stderr) == []
    (project.folder / "raising.py").write_text("def extract(record):\n    raise SystemError(str(record))\n")
    for flags in ((), ("--debug",)):
        done = project.run("m.yaml", *flags, SAFE_MODE="1")
        assert leaks(done.stdout, done.stderr) == [], done.stderr


@pytest.mark.parametrize("safe", ["1", "0"])
def test_a_pattern_without_end_shows_nothing(tmp_path: Path, safe: str) -> None:
    """An entity whose pattern runs out of time ends the run with its name; the text it could not read is nowhere."""
    project = Project(tmp_path)
    text = CONFIG.format(format="jsonl", more="always: true").replace("entities: {", 'entities: {SLOW: "(a+)+$", ')
    (tmp_path / "m.yaml").write_text(text)
    (tmp_path / "items.jsonl").write_text(json.dumps({"id": "1", "query": "a" * 4_000 + "!", "actual_output": "x"}))
    done = project.run("m.yaml", "--debug", SAFE_MODE=safe)
    assert done.returncode == 1, done.stderr
    assert "privacy.entities.SLOW: the pattern took longer than 1 s on a text of" in done.stderr
    folders = (tmp_path / "out", tmp_path / "data/reports")
    files = [path.read_text() for folder in folders for path in folder.rglob("*.*")]
    shown = [done.stdout, done.stderr, *files]
    assert not any("aaaaaa" in each for each in shown)
