"""A whole monitor over a fake Langfuse server: run after run, each trace is scored once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.core.clock import utc_now
from tests.langfuse.fake_server.faults import BROKEN, CUT, at_random
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock
from tests.langfuse.source.sourcing import athena, rows_of
from tests.wiring.project import Project

CONFIG = """\
name: live
source:
  type: langfuse
  name: athena
  extractor: athena.chat
  base_url: ${LANGFUSE_HOST}
  public_key: ${LANGFUSE_PUBLIC_KEY}
  secret_key: ${LANGFUSE_SECRET_KEY}
  hours_back: 1
  trace_name: chat
metrics_config:
  Right fact: {class: athena.answer_states_fact}
  Grounding: {class: grounding_score}
publishing: {files: {directory: out}}
"""


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse(clock=MovableClock(utc_now())) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeLangfuse) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG)
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY, "LANGFUSE_HOST": server.url}
    made.write(".env", "".join(f"{name}={value}\n" for name, value in keys.items()))
    return made


def test_runs_score_every_trace_once_and_catch_what_comes_late(server: FakeLangfuse, project: Project) -> None:
    records = athena("chat", 30)
    now = server.clock()
    for number, record in enumerate(records[:24]):
        server.observations.add(*rows_of(record, now - timedelta(minutes=20 + number)))
    for record in records[24:]:  # begun a quarter of an hour ago, stored only after the first run
        late = rows_of(record, now - timedelta(minutes=15))
        server.observations.add(*late[1:])
        server.observations.add(late[0], visible_at=now + timedelta(seconds=1))
    server.faults.chance = at_random(1, 0.1, BROKEN, CUT)
    first = project.report()["counts"]
    assert (first["read"], first["scored"]) == (24, 24)
    assert project.report()["counts"]["scored"] == 0
    server.clock.advance(2)
    third = project.report()["counts"]
    assert (third["read"], third["scored"], third["already_scored"]) == (30, 6, 24)
    scores = project.scores()
    assert len(scores) == len(set(scores)) == 60
    files = (project.folder / "out").rglob("*.jsonl")
    published = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({(row["item_id"], row["label"]) for row in published}) == len(published) == 60


def test_a_trace_that_is_left_to_the_next_run_says_so(server: FakeLangfuse, project: Project) -> None:
    """Seen and not scored is not the same as never seen."""
    quiet, fresh = athena("chat", 2)
    server.observations.add(*rows_of(quiet, server.clock() - timedelta(minutes=20)))
    server.observations.add(*rows_of(fresh, server.clock() - timedelta(minutes=2)))
    counts = project.report()["counts"]
    assert (counts["read"], counts["filtered"], counts["scored"]) == (1, 0, 1)
    told = " ".join(project.run("explain", "m.yaml", fresh["id"]).stdout.split())
    assert "Not scored yet: the run that saw it first left it to a later one: it was not quiet" in told


def test_a_wrong_key_stops_the_run_with_exit_code_2_and_is_not_shown(server: FakeLangfuse, project: Project) -> None:
    done = project.run("m.yaml", LANGFUSE_SECRET_KEY="sk-lf-mistaken")
    assert done.returncode == 2
    assert "check public_key, secret_key and base_url" in done.stderr
    assert "sk-lf" not in done.stderr + done.stdout


def test_a_host_that_is_not_there_fails_the_run(project: Project) -> None:
    done = project.run("m.yaml", "--set", "source.tries=1", LANGFUSE_HOST="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and "Traceback" not in done.stderr
