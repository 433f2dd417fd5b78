"""`MonitoringScheduler`: real configurations, in one process, at their times."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.monitoring.monitor import OnlineMonitor
from shared.monitoring.scheduler import MonitoringScheduler
from tests.contracts.adapters.served import empty_postgres, postgres_at
from tests.wiring.project import PATIENCE, Project, cold_environment

CONFIG = """\
name: {name}
source: {{type: file, name: {name}, path: items.jsonl, window: all}}
metrics_config: {{Exact: {{class: exact_match}}}}
{more}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    found = Project(tmp_path)
    found.write("pyproject.toml", "")
    monkeypatch.chdir(tmp_path)
    yield found


def write(project: Project, name: str, more: str = "") -> str:
    return str(project.write(f"{name}.yaml", CONFIG.format(name=name, more=more)))


def test_all_monitors_run_side_by_side_and_a_broken_one_hurts_nobody(project: Project) -> None:
    """Scores are stored for all but the one whose source is gone; it says why."""
    scheduler = MonitoringScheduler(max_concurrent=2)
    for name in ("a", "b", "c"):
        scheduler.add_monitor(write(project, name), interval_minutes=60)
    scheduler.add_monitor(write(project, "d"), cron="0 * * * *", overrides={"source.path": "nowhere.jsonl"})
    ended = asyncio.run(scheduler.run_all_once())
    assert {job: run.status for job, run in ended.items()} == {
        "a_a": "done", "b_b": "done", "c_c": "done", "d_d": "failed",
    }  # fmt: skip
    assert "nowhere.jsonl" in ended["d_d"].error
    assert len(project.scores()) == 3 * 8
    again = asyncio.run(scheduler.run_all_once())
    assert again["a_a"].status == "nothing_new" and len(project.scores()) == 3 * 8


def test_it_runs_at_the_times_of_the_configuration_until_it_is_stopped(project: Project) -> None:
    """In threads of its own: the caller's thread is free."""
    scheduler = MonitoringScheduler()
    config = write(project, "often", "schedule: {interval_minutes: 0.02}")
    job = scheduler.add_monitor(config, job_id="mine", run_immediately=True)
    assert job == "mine"
    scheduler.start()
    scheduler.start()  # harmless
    waited = threading.Event()
    while scheduler.jobs[0]["last_status"] != "nothing_new":
        assert not waited.wait(0.05)
    (shown,) = scheduler.jobs
    assert (shown["id"], shown["name"], shown["schedule"]) == ("mine", "often", "every 0.02 min")
    assert scheduler.stop()
    scheduler.wait()
    assert len(project.scores()) == 8
    assert scheduler.remove_monitor("mine") and not scheduler.remove_monitor("mine") and scheduler.jobs == []


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_after_a_restart_times_count_from_the_stored_runs(place: str, project: Project, tmp_path: Path) -> None:
    """What knows of the last run is the state database, whoever made it."""
    url = ""
    if place == "postgres":
        postgres_at(tmp_path)
        url = empty_postgres("scheduler_restart")
    store = f"{{type: postgres, url: '{url}'}}" if url else "{type: sqlite}"
    schedule = f"schedule: {{interval_minutes: 1440}}\nscored_store: {store}"
    config = write(project, "daily", schedule)
    OnlineMonitor.from_yaml(config).run_and_publish().close()
    before = datetime.now(UTC)
    scheduler = MonitoringScheduler()
    scheduler.add_monitor(config)
    scheduler.add_monitor(write(project, "new", schedule))
    old, new = scheduler.jobs
    assert old["last_run_time"] is not None and new["last_run_time"] is None
    assert (old["last_status"], new["last_status"]) == ("done", None)
    assert before - timedelta(minutes=1) < old["next_run_time"] - timedelta(days=1) < before
    assert new["next_run_time"] - timedelta(days=1) >= before
    ended = asyncio.run(scheduler.run_all_once())
    assert {job: run.status for job, run in ended.items()} == {"daily_daily": "nothing_new", "new_new": "done"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "schedule: found none, expected interval_minutes or cron"),
        ({"interval_minutes": 5, "cron": "0 * * * *"}, "expected exactly one of interval_minutes and cron, found both"),
        ({"interval_minutes": 0}, "greater than or equal to 0.01"),
        ({"interval_minutes": -5}, "greater than or equal to 0.01"),
        ({"interval_minutes": float("inf")}, "interval_minutes"),
        ({"cron": "0 0 * * * *"}, "five fields"),
        ({"cron": "0 0 31 2 *"}, "never runs"),
        ({"cron": "0 0 * * 8"}, "0 to 7"),
        ({"cron": "0 * * * *", "overrides": {"schedule.timezone": "Europe/Berln"}}, "Europe/Berlin"),
        ({"overrides": {"schedule": {"interval_minutes": 5, "jitter_seconds": 301}}}, "at most the interval, 300"),
        ({"interval_minutes": 5, "overrides": {"metrics_config.Exact.class": "exact_mach"}}, "exact_match"),
    ],
)
def test_a_wrong_schedule_is_refused_when_it_is_added(given: dict[str, object], says: str, project: Project) -> None:
    scheduler = MonitoringScheduler()
    with pytest.raises(ConfigError) as caught:
        scheduler.add_monitor(write(project, "m"), **given)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert scheduler.jobs == [] and not (project.folder / "data").exists()


def test_a_wrong_scheduler_is_refused(project: Project) -> None:
    for given, says in (({"timezone": "Mars/Base"}, "'Mars/Base'"), ({"max_concurrent": 0}, "at least 1")):
        with pytest.raises(ConfigError, match=says):
            MonitoringScheduler(**given)
    with pytest.raises(ConfigError, match="start"):
        MonitoringScheduler().wait()
    scheduler = MonitoringScheduler()
    config = write(project, "m", "schedule: {interval_minutes: 5}")
    scheduler.add_monitor(config)
    with pytest.raises(ConfigError, match="'m_m' is there already"):
        scheduler.add_monitor(config)


SCRIPT = """\
from shared.monitoring.scheduler import MonitoringScheduler

if __name__ == "__main__":
    scheduler = MonitoringScheduler()
    scheduler.add_monitor("slow.yaml", run_immediately=True)
    scheduler.start()
    print("started", flush=True)
    scheduler.wait()
    print("stopped", flush=True)
"""


def test_sigterm_stores_what_is_scored_and_a_restart_goes_on(project: Project) -> None:
    """A deployment that replaces the process in the middle of a run scores nothing twice and loses nothing."""
    project.write("mine.py", "import asyncio\n\nasync def slow(item):\n    await asyncio.sleep(0.1)\n    return 1.0\n")
    project.items(200)
    text = CONFIG.replace("class: exact_match", "class: 'mine:slow'")
    more = "schedule: {interval_minutes: 60}\nevaluation: {max_concurrent: 2}"
    project.write("slow.yaml", text.format(name="slow", more=more))
    project.write("main.py", SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "main.py"], cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=cold_environment(),
    )  # fmt: skip
    waiting = threading.Event()
    while process.poll() is None and _scored(project) < 4:
        waiting.wait(0.05)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "started\nstopped\n"), errors
    kept = _scored(project)
    assert 4 <= kept < 200
    done = project.run("slow.yaml", "--json", "--quiet", "--set", "evaluation.max_concurrent=50")
    assert json.loads(done.stdout)["counts"]["scored"] == 200 - kept
    assert len(project.scores()) == 200


def _scored(project: Project) -> int:
    try:
        return len(project.scores())
    except sqlite3.Error:  # no such file or table yet
        return 0
