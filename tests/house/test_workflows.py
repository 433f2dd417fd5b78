"""The workflows do what they say: each of their `run:` blocks is run as each event would run it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.wiring.config.schedule_config import Schedule
from shared.wiring.run.public_repository import in_public_repository
from tests.house.workflow_blocks import ROOT, Block, Contexts, blocks, default_inputs, workflows

MONITORING = "monitoring.yml"
CONFIG = """\
name: {name}
source: {{type: file, name: {name}, path: items.jsonl, window: all}}
metrics_config:
  Exact: {{class: exact_match}}
"""
CONFIGS = ("demo", "athena_recommendation", "athena_chat")
SLOW = ("bash .ci/run", "make ")
"""Blocks that install an environment or run all tests: their commands are looked up, not carried out."""


class Checkout:
    """A project with what a runner has after `actions/checkout`, a small configuration and a finished environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.described: dict[str, object] = {}  # what GitHub's event file says
        self.vars: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        for name in ("scripts", "Makefile", "requirements", "pyproject.toml", ".ci"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "configs").mkdir()
        for name in CONFIGS:
            (folder / "configs" / f"{name}.yaml").write_text(CONFIG.format(name=name))
        rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a"} for n in range(6)]
        (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(self, block: Block, github: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        given = {f"GITHUB_{name.upper()}": value for name, value in github.items()}
        script = block.script
        if script.startswith(SLOW):
            given["MAKEFLAGS"] = "n"  # make says what it would do, and fails for a target that is not there
            script = script.replace("bash .ci/run", "bash -n .ci/run")
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**kept, "CI": "true", **given, **block.env},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def event(
        self, name: str, workflow: str = MONITORING, run_number: int = 1, **inputs: object
    ) -> list[subprocess.CompletedProcess[str]]:
        """All blocks of a workflow, as the event would have them run."""
        document = workflows()[workflow]
        github = {"event_name": name, "run_id": "7", "run_attempt": "1", "run_number": str(run_number)}
        if self.described:
            event = self.folder / "event.json"
            event.write_text(json.dumps(self.described))
            github |= {"actions": "true", "event_path": str(event)}
        form = {**default_inputs(document), **inputs} if name == "workflow_dispatch" else {}
        enabled = {"MONITORING_ENABLED": "true", "NIGHTLY_ENABLED": "true"}
        contexts: Contexts = {
            "github": github,
            "inputs": form,
            "vars": {**enabled, **self.vars},
            "secrets": self.secrets,
        }
        found = list(blocks(workflow, document, contexts))
        assert found
        return [self.run(block, github) for block in found]

    def rows(self, columns: str = "item_id") -> list[tuple[str, ...]]:
        with sqlite3.connect(self.folder / "data" / "state" / "trueline.db") as connection:
            return list(connection.execute(f"select {columns} from scores s join runs r using (run_id)"))


def codes(results: list[subprocess.CompletedProcess[str]]) -> list[int]:
    return [each.returncode for each in results]


def test_the_hourly_run_goes_on_where_the_first_run_ended(tmp_path: Path) -> None:
    """On `schedule` every input is empty: a setting must not be refused for that, and nothing is scored twice."""
    checkout = Checkout(tmp_path)
    first = checkout.event("workflow_dispatch", first_run=True)
    assert codes(first) == [0, 0], first[-1].stderr
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write('{"id": "new", "actual_output": "a", "expected_output": "b"}\n')
    hourly = checkout.event("schedule", run_number=2)
    assert codes(hourly) == [0, 0], hourly[-1].stderr
    assert len(checkout.rows()) == 7
    assert codes(checkout.event("schedule", run_number=3)) == [0, 0]
    assert len(checkout.rows()) == 7


def test_the_hourly_run_without_state_fails(tmp_path: Path) -> None:
    """An evicted cache is an error of the run, also where no input says anything."""
    results = Checkout(tmp_path).event("schedule", run_number=2)
    assert results[-1].returncode == 1 and "--first-run" in results[-1].stderr


def test_the_inputs_of_a_run_by_hand_are_kept_to(tmp_path: Path) -> None:
    """`deduplicate: false` scores what is scored already; `environment` is recorded."""
    checkout = Checkout(tmp_path)
    assert codes(checkout.event("workflow_dispatch", first_run=True, environment="staging")) == [0, 0]
    again = checkout.event("workflow_dispatch", deduplicate=False)
    assert codes(again) == [0, 0] and "6 items scored" in again[-1].stdout
    assert {row[0] for row in checkout.rows("r.environment")} == {"staging", ""}


@pytest.mark.parametrize(
    ("private", "variables", "code"), [(True, {}, 0), (False, {}, 2), (False, {"SAFE_MODE": "1"}, 0)]
)
def test_a_public_repository_keeps_no_raw_texts_in_its_cache(
    private: bool, variables: dict[str, str], code: int, tmp_path: Path
) -> None:
    """Caches of a public repository can be read by others: the run refuses before it stores anything, and says why."""
    checkout = Checkout(tmp_path)
    checkout.described, checkout.vars = {"repository": {"private": private}}, variables
    result = checkout.event("workflow_dispatch", first_run=True)[-1]
    assert result.returncode == code, result.stderr
    assert ("public repository" in result.stdout + result.stderr) is not private
    assert (tmp_path / "data" / "state").exists() is (code == 0)


@pytest.mark.parametrize("described", ["", "[]", '{"schedule": "0 * * * *"}', '{"repository": {"private": null}}'])
def test_an_event_without_a_repository_stops_no_run(described: str, tmp_path: Path) -> None:
    """Older servers describe no repository on `schedule`; a broken description is none."""
    event = tmp_path / "event.json"
    event.write_text(described)
    assert not in_public_repository({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(event)})
    assert not in_public_repository({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(tmp_path / "none")})


def test_each_configuration_of_the_hourly_run_is_a_job_of_its_own(tmp_path: Path) -> None:
    """One that fails is shown as an error with its exit code, and stops no other one."""
    checkout = Checkout(tmp_path)
    checkout.vars = {"MONITORING_CONFIGS": '["demo", "gone", "athena_chat"]'}
    results = checkout.event("workflow_dispatch", first_run=True)
    assert codes(results) == [0, 0, 0, 2, 0, 0], [each.stderr for each in results]
    assert "::error title=monitor gone::exit code 2" in results[3].stdout
    assert len(checkout.rows()) == 12
    alone = checkout.event("workflow_dispatch", config_file="demo")
    assert codes(alone) == [0, 0] and "Nothing new" in alone[1].stdout


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(name, job, given) for name, each in workflows().items() for job, given in each["jobs"].items()]


def test_a_monitor_never_loses_an_update_of_its_state() -> None:
    """Its runs wait for one another, none is replaced while it waits, and each has a state of its own name."""
    job = workflows()[MONITORING]["jobs"]["monitor"]
    assert "concurrency" not in workflows()[MONITORING]
    assert job["concurrency"] == {
        "group": "monitoring-${{ matrix.config }}", "cancel-in-progress": "false", "queue": "max",
    }  # fmt: skip
    assert job["strategy"]["fail-fast"] == "false"
    assert job["env"]["STATE_KEY"] == "trueline-state-[${{ matrix.config }}]-"
    caches = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache")]
    assert len(caches) == 2 and len({each["key"] for each in caches}) == 1
    assert "github.run_id" in caches[0]["key"] and "github.run_attempt" in caches[0]["key"]
    run = next(step for step in job["steps"] if step.get("name") == "Run the monitor")
    assert int(run["timeout-minutes"]) < int(job["timeout-minutes"]) == 30
    names = [step["with"]["name"] for step in job["steps"] if step.get("uses", "").startswith("actions/upload")]
    assert all("strategy.job-index" in each for each in names)  # no two jobs of a run have one name


@pytest.mark.parametrize(("name", "job", "given"), jobs(), ids=lambda value: value if isinstance(value, str) else "")
def test_jobs_end_and_may_do_no_more_than_they_must(name: str, job: str, given: dict[str, Any]) -> None:
    assert int(given["timeout-minutes"]) <= 180
    assert workflows()[name]["permissions"] == {"contents": "read"}
    assert all(value == "read" for key, value in given.get("permissions", {}).items() if key == "contents")
    used = [step["uses"] for step in given["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w./-]+@v\d+", each) for each in used), used
    checkouts = [step for step in given["steps"] if step.get("uses", "").startswith("actions/checkout")]
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_schedules_avoid_the_minute_when_runs_are_dropped() -> None:
    lines = [each["cron"] for workflow in workflows().values() for each in workflow["on"].get("schedule", [])]
    assert len(lines) == 2
    for each in lines:
        Schedule(cron=each)
        assert each.split()[0].isdecimal() and int(each.split()[0]) % 30, each


def test_pages_that_others_can_read_are_of_redacted_runs(tmp_path: Path) -> None:
    """Whatever the repository variables say, the nightly reports hide what SAFE_MODE hides."""
    checkout = Checkout(tmp_path)
    rows = [{"id": "p", "actual_output": "write to jane.doe@example.org", "expected_output": "b"}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checkout.vars = {"SAFE_MODE": "0", "NIGHTLY_CONFIGS": "demo athena_chat"}
    results = checkout.event("workflow_dispatch", "nightly.yml")
    assert set(codes(results)) == {0}, [each.stderr for each in results]
    pages = {path.name: path.read_text() for path in (tmp_path / "site").glob("*.html")}
    assert set(pages) == {"index.html", "demo.html", "athena_chat.html"}
    assert '<a href="demo.html">' in pages["index.html"]
    assert not any("jane.doe@example.org" in page for page in pages.values())


@pytest.mark.parametrize("name", sorted(workflows()))
def test_every_block_of_every_workflow_runs(name: str, tmp_path: Path) -> None:
    """For each event that starts the workflow, with nothing given beyond it."""
    for event in workflows()[name]["on"]:
        folder = tmp_path / event
        folder.mkdir()
        checkout = Checkout(folder)
        if event == "schedule":
            checkout.event("workflow_dispatch", name, first_run=True)
        more = {"first_run": True} if event == "workflow_dispatch" else {}
        results = checkout.event(event, name, **more)
        assert set(codes(results)) == {0}, results[-1].stderr
