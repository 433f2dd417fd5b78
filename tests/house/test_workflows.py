"""The workflows do what they say: each of their `run:` blocks is run as each event would run it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.wiring.run.public_repository import in_public_repository
from tests.house.workflow_blocks import ROOT, Block, Contexts, blocks, default_inputs, workflows

MONITORING = "monitoring.yml"
CONFIG = """\
name: hourly
source: {type: file, name: hourly, path: items.jsonl, window: all}
metrics_config:
  Exact: {class: exact_match}
"""
SLOW = ("bash .ci/run", "make ")
"""Blocks that install an environment or run all tests: their commands are looked up, not carried out."""


class Checkout:
    """A project with what a runner has after `actions/checkout`, a small configuration and a finished environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.described: dict[str, object] = {}  # what GitHub's event file says
        self.vars: dict[str, str] = {}
        for name in ("scripts", "Makefile", "requirements", "pyproject.toml", ".ci"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "configs").mkdir()
        (folder / "configs" / "demo.yaml").write_text(CONFIG)
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
        contexts: Contexts = {"github": github, "inputs": form, "vars": {"MONITORING_ENABLED": "true", **self.vars}}
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
