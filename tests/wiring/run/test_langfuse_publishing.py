"""Monitors that publish to Langfuse, as processes against a fake server: every score there once, whatever fails."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.clock import iso, utc_now
from shared.core.errors import ConfigError
from shared.langfuse.source.trace_source import LangfuseSource
from shared.privacy.redacting_sinks import RedactingMessages
from shared.wiring.build.build_monitor import build_monitor
from tests.langfuse.fake_server.faults import BROKEN, CUT_AFTER, UNAVAILABLE, at_random
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY, Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock
from tests.langfuse.source.sourcing import athena, rows_of
from tests.wiring.project import Project

FILE = """\
name: quality
environment: prod
source: {type: file, name: live, path: items.jsonl, window: all}
metrics_config:
  Exact: {class: exact_match}
  Short: {class: length, max_chars: 20}
publishing:
  push_to_langfuse: true
"""
EXPERIMENT = """\
  experiment: {dataset_name: folder/set, run_name: nightly, tags: [t], run_metadata: {model: m}}
"""
LIVE = """\
name: live
source:
  type: langfuse
  extractor: athena.chat
  base_url: ${LANGFUSE_HOST}
  public_key: ${LANGFUSE_PUBLIC_KEY}
  secret_key: ${LANGFUSE_SECRET_KEY}
  hours_back: 1
metrics_config:
  Grounding: {class: grounding_score}
publishing:
  push_to_langfuse: true
  experiment: {link_to_traces: false, enabled: true}
"""


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse(clock=MovableClock(utc_now())) as found:
        yield found


def project_of(folder: Path, server: FakeLangfuse, text: str = FILE) -> Project:
    made = Project(folder)
    made.write("m.yaml", text)
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY, "LANGFUSE_HOST": server.url}
    made.write(".env", "".join(f"{name}={value}\n" for name, value in keys.items()))
    at = iso(utc_now() - timedelta(hours=2))
    rows = [
        {"id": f"i{n}", "query": "q", "actual_output": f"a{n}", "expected_output": "a1", "trace_id": f"{n:032x}"}
        for n in range(12)
    ]
    made.write("items.jsonl", "".join(json.dumps(row | {"source_timestamp": at}) + "\n" for row in rows))
    return made


def names(server: FakeLangfuse) -> Counter[str]:
    return Counter(row["name"] for row in server.scores.rows.values())


def test_a_trial_keeps_the_scores_of_other_runs(tmp_path: Path, server: FakeLangfuse) -> None:
    """A trial is published only when asked, beside the monitor's scores; the next trial replaces it."""
    project = project_of(tmp_path, server, FILE + EXPERIMENT.replace("tags", "metrics: [Exact], tags"))
    project.report()
    before = {key: row for key, row in server.scores.rows.items()}
    project.report("--no-dedup")
    assert server.scores.rows == before
    for _ in range(2):
        project.report("--no-dedup", "--publish", "--set", "metrics_config.Short.max_chars=1")
    kept = {key: row for key, row in server.scores.rows.items() if key in before}
    assert {key: row["value"] for key, row in kept.items()} == {key: row["value"] for key, row in before.items()}
    added = Counter(row["name"] for key, row in server.scores.rows.items() if key not in before)
    assert (added["Exact (trial)"], added["Short (trial)"]) == (12, 12)
    assert all("(trial)" in name for name in added)


@pytest.mark.parametrize("version", ["4.60.0", "4.16.0"])
def test_a_run_puts_every_score_on_its_trace(tmp_path: Path, version: str) -> None:
    with run_fake_langfuse(Plan(version), MovableClock(utc_now())) as server:
        project = project_of(tmp_path, server)
        counts = project.report()["counts"]
        assert (counts["scored"], counts["marked"]) == (12, 12)
        assert names(server) == {"Exact": 12, "Short": 12}
        assert {row["environment"] for row in server.scores.stored()} == {"prod"}
        project.report()
        assert server.scores.posts == 24


def test_a_score_and_an_experiment_are_both_made_when_both_are_asked_for(tmp_path: Path, server: FakeLangfuse) -> None:
    project = project_of(tmp_path, server, FILE + EXPERIMENT)
    assert project.report()["counts"]["marked"] == 12
    whole = ("Exact mean", "Exact pass rate", "Short mean", "Short pass rate")
    assert names(server) == {"Exact": 12, "Short": 12, **dict.fromkeys(whole, 1)}
    assert len(server.otlp.spans) == len(server.datasets.items) == 12
    assert server.datasets.datasets.keys() == {"folder/set"}


def test_safe_mode_redacts_what_is_said_of_an_experiment(tmp_path: Path, server: FakeLangfuse) -> None:
    """The metadata and the description of an experiment are texts like all others."""
    said = EXPERIMENT.replace("{model: m}", "{owner: jane@example.com, nested: {call: '+44 20 7946 0958'}}")
    more = "privacy: {always: true}\nevaluation: {description: ask bob@example.com}\n"
    project = project_of(tmp_path, server, FILE + said + more)
    assert project.report()["counts"]["marked"] == 12
    stored = repr(vars(server.datasets)) + repr(server.otlp.spans)
    assert "[EMAIL]" in stored and "[PHONE]" in stored
    assert "jane@" not in stored and "bob@" not in stored and "7946" not in stored


def test_a_monitor_does_not_read_the_traces_that_its_experiment_makes(tmp_path: Path, server: FakeLangfuse) -> None:
    for number, record in enumerate(athena("chat", 5)):
        server.observations.add(*rows_of(record, server.clock() - timedelta(minutes=20 + number)))
    project = project_of(tmp_path, server, LIVE)
    first = project.report()["counts"]
    assert (first["read"], first["marked"]) == (5, 5)
    assert len(server.otlp.spans) == 5
    second = project.report()["counts"]
    assert (second["read"], second["scored"]) == (5, 0)


def test_runs_under_faults_leave_every_score_once(tmp_path: Path, server: FakeLangfuse) -> None:
    project = project_of(tmp_path, server, FILE + EXPERIMENT)
    server.faults.chance = at_random(4, 0.3, BROKEN, CUT_AFTER, UNAVAILABLE)
    codes = [1]
    while codes[-1] and len(codes) < 8:
        done = project.run("m.yaml", "--quiet", "--set", "publishing.verify_seconds=3")
        assert done.returncode in (0, 1), done.stderr
        codes.append(done.returncode)
        server.faults.chance = at_random(5, 0.1, BROKEN)
    assert codes[-1] == 0
    found = names(server)
    assert (found["Exact"], found["Short"]) == (12, 12)
    assert len({(span["traceId"], span["spanId"]) for span in server.otlp.spans}) == 12


def test_a_server_that_is_down_holds_the_items_back_for_the_next_run(tmp_path: Path, server: FakeLangfuse) -> None:
    project = project_of(tmp_path, server)
    server.faults.chance = lambda request: BROKEN if "scores" in request.path else None
    done = project.run("m.yaml", "--json", "--quiet", "--set", "publishing.verify_seconds=0.5", "--set",
                       "publishing.langfuse.tries=1")  # fmt: skip
    assert done.returncode == 1 and json.loads(done.stdout)["status"] == "unpublished"
    server.faults.chance = lambda _: None
    counts = project.report()["counts"]
    assert (counts["scored"], counts["marked"]) == (0, 12)
    assert names(server) == {"Exact": 12, "Short": 12}


SHORT = ("--quiet", "--set", "publishing.verify_seconds=0", "--set", "publishing.langfuse.lost_after_minutes=0.002")
"""The options of a short run; what the run before it has sent and cannot be read back is lost by then."""


@pytest.mark.parametrize("more", ["", EXPERIMENT], ids=["scores", "experiment"])
def test_short_runs_send_again_what_the_server_took_and_lost(tmp_path: Path, more: str) -> None:
    """As under cron: no run lives as long as a score needs to count as lost, yet all are stored, and none twice."""
    with run_fake_langfuse(Plan(lost_scores=0.4, seed=7), MovableClock(utc_now())) as server:
        project = project_of(tmp_path, server, FILE + more)
        marked = [project.report(*SHORT)["counts"]["marked"] for _ in range(8)]
        found = names(server)
        assert (found["Exact"], found["Short"]) == (12, 12) and max(found.values()) == 12
        assert sum(marked) == 12 and marked[-1] == 0
        assert server.scores.dropped > 5
        assert server.scores.posts == len(server.scores.rows) + server.scores.dropped
        if more:
            assert sum(found.values()) == 28 and len(server.otlp.spans) == 12


def test_a_run_that_ends_with_overdue_deliveries_says_so_and_fails(tmp_path: Path) -> None:
    """Within the limit an unverified delivery is a note; above it every run fails, however often it was sent again."""
    with run_fake_langfuse(Plan(lost_scores=1.0), MovableClock(utc_now())) as server:
        project = project_of(tmp_path, server)
        for _ in range(2):
            within = project.run("m.yaml", "--json", *SHORT)
            assert within.returncode == 0 and "cannot be read back yet" in json.loads(within.stdout)["notes"][0]
        late = project.run("m.yaml", "--json", *SHORT, "--set", "publishing.overdue_hours=0.0001")
        found = json.loads(late.stdout)
        assert (late.returncode, found["status"]) == (1, "unpublished")
        assert found["published"][0]["overdue_hours"] > 0
        assert "24 message(s)" in found["notes"][0] and "the oldest has waited for" in found["notes"][0]
        assert project.run("publish", "m.yaml", "--pending", *SHORT[1:]).returncode == 0
        limit = ("--set", "publishing.overdue_hours=0.0001")
        assert project.run("publish", "m.yaml", "--pending", *SHORT[1:], *limit).returncode == 1


def test_reads_that_fail_are_reported_as_such(tmp_path: Path, server: FakeLangfuse) -> None:
    """A user who is told that scores are slow would look in the wrong place."""
    project = project_of(tmp_path, server)
    server.faults.chance = lambda request: UNAVAILABLE if request.method == "GET" and "score" in request.path else None
    done = project.run("m.yaml", "--json", *SHORT, "--set", "publishing.langfuse.tries=1")
    (note,) = json.loads(done.stdout)["notes"]
    assert "are not verified, because reading back failed: " in note and "503" in note
    assert done.returncode == 0 and server.scores.posts == 24
    server.faults.chance = lambda _: None
    assert project.report(*SHORT)["counts"]["marked"] == 12
    assert server.scores.posts == 24


def test_check_says_what_the_server_can_do(tmp_path: Path, server: FakeLangfuse) -> None:
    project = project_of(tmp_path, server, FILE + EXPERIMENT)
    done = project.run("check", "m.yaml", "--connect")
    assert done.returncode == 0, done.stderr
    assert "sink 'langfuse': Langfuse 4.60.0, project proj1: scores are sent in lists of up to 250" in done.stdout
    assert "experiments are recorded by spans" in done.stdout
    wrong = project.run("check", "m.yaml", "--connect", LANGFUSE_SECRET_KEY="sk-lf-mistaken")
    assert wrong.returncode == 1 and "check public_key, secret_key and base_url" in wrong.stderr
    assert "mistaken" not in wrong.stderr + wrong.stdout
    away = project.run("check", "m.yaml", "--connect", LANGFUSE_HOST="http://127.0.0.1:9")
    assert away.returncode == 1 and "cannot be reached" in away.stderr


def test_check_asks_the_source_too(tmp_path: Path, server: FakeLangfuse) -> None:
    """A monitor that only reads would otherwise learn of a wrong key by its first run."""
    project = project_of(tmp_path, server, LIVE)
    done = project.run("check", "m.yaml", "--connect")
    assert done.returncode == 0, done.stderr
    assert (
        "source 'langfuse:" in done.stdout and "Langfuse 4.60.0, project proj1: read by v2/observations" in done.stdout
    )
    wrong = project.run("check", "m.yaml", "--connect", LANGFUSE_SECRET_KEY="sk-lf-mistaken")
    assert wrong.returncode == 1 and "source 'langfuse:" in wrong.stderr and "mistaken" not in wrong.stderr
    away = project.run("check", "m.yaml", "--connect", LANGFUSE_HOST="http://127.0.0.1:9")
    assert away.returncode == 1 and "cannot be reached" in away.stderr


def test_a_wrong_key_fails_the_run_and_loses_nothing(tmp_path: Path, server: FakeLangfuse) -> None:
    project = project_of(tmp_path, server)
    done = project.run("m.yaml", LANGFUSE_SECRET_KEY="sk-lf-mistaken")
    assert done.returncode == 1
    assert "check public_key, secret_key and base_url" in done.stdout + done.stderr
    assert "mistaken" not in done.stderr + done.stdout
    assert project.report()["counts"]["marked"] == 12


def test_a_sink_of_the_sources_own_server_keeps_to_the_same_limits(tmp_path: Path, server: FakeLangfuse) -> None:
    project = project_of(tmp_path, server, LIVE.replace("hours_back: 1", "hours_back: 1\n  limits_file: limits.json"))
    built = build_monitor(project.folder / "m.yaml")
    assert isinstance(built.plan.source, LangfuseSource)
    sinks = {outlet.name: outlet.sink.inner for outlet in built.sinks if isinstance(outlet.sink, RedactingMessages)}
    clients = [getattr(sinks[name], "_client") for name in ("langfuse", "langfuse-experiment")]  # noqa: B009 - private
    assert clients[0] is clients[1]
    assert clients[0]._runtime is built.plan.source.runtime
    assert clients[0].settings.base_url == server.url
    assert clients[0].settings.limits_file == str(project.folder / "limits.json")


def test_sessions_are_not_scored_where_their_ids_are_hashed(tmp_path: Path, server: FakeLangfuse) -> None:
    text = LIVE.replace("hours_back: 1", "hours_back: 1\n  items: sessions") + "privacy: {always: true}\n"
    project = project_of(tmp_path, server, text)
    with pytest.raises(ConfigError, match="hashes the ids of sessions"):
        build_monitor(project.folder / "m.yaml")


def more_items(project: Project, first: int, count: int) -> None:
    at = iso(utc_now() - timedelta(hours=1))
    rows = [
        {"id": f"i{n}", "actual_output": "a", "trace_id": f"{n:032x}", "source_timestamp": at, "expected_output": "a"}
        for n in range(first, first + count)
    ]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("version", ["4.60.0", "4.16.0"])
def test_langfuse_tells_that_the_state_is_another_one(tmp_path: Path, version: str) -> None:
    """Where its newest scores are of a run that the state does not know, a run warns; one request tells it. Scores of
    other monitors and of trials count for nothing."""
    second = ("--set", "scored_store.file_path=second.db")
    with run_fake_langfuse(Plan(version), MovableClock(utc_now())) as server:
        project = project_of(tmp_path, server)
        assert unknown(project.report()) == []
        more_items(project, 20, 3)
        assert unknown(project.report()) == []
        project.report("--no-dedup", "--publish", *second)
        more_items(project, 30, 3)
        assert unknown(project.report()) == []
        asked = [each for each in server.seen if each.method == "GET" and "name" in each.query]
        assert len(asked) == 3
        more_items(project, 40, 3)
        (note,) = unknown(project.report(*second))
        assert "langfuse has scores of run 'quality-" in note
        more_items(project, 50, 3)
        assert unknown(project.report("--set", "name=another", *second)) == []


def unknown(report: dict[str, Any]) -> list[str]:
    return [each for each in report["warnings"] if "which the state of this monitor does not know" in each]
