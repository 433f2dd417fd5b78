"""`trueline schedule`: the process that runs monitors at their times, and what it answers over HTTP."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.wiring.project import PATIENCE, Project

CONFIG = """\
name: {name}
source: {{type: file, name: {name}, path: items.jsonl, window: all}}
metrics_config: {{Exact: {{class: {metric}}}}}
{schedule}
"""
OFTEN = "schedule: {interval_minutes: 0.02}"
DAILY = "schedule: {cron: '30 2 * * *', timezone: Europe/Berlin}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path, cold=True)
    found.write("pyproject.toml", "")
    (tmp_path / "m.yaml").unlink()
    return found


def write(project: Project, name: str, schedule: str = DAILY, metric: str = "exact_match") -> str:
    project.write(f"{name}.yaml", CONFIG.format(name=name, schedule=schedule, metric=metric))
    return f"{name}.yaml"


@contextmanager
def serving(project: Project, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it prints."""
    variables["PYTHONUNBUFFERED"] = "1"  # as containers set it
    process = project.started("schedule", "--port", "0", *arguments, **variables)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", first)
        assert found, first + process.communicate(timeout=PATIENCE)[1]
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=PATIENCE)


def health(url: str) -> dict[str, dict[str, object]]:
    answer = httpx.get(f"{url}/healthz", timeout=30)
    assert answer.status_code == 200, answer.text
    return {each["id"]: each for each in answer.json()["monitors"]}


def wait_for_runs(url: str, job: str, count: int) -> dict[str, object]:
    waiting = threading.Event()
    while True:
        found = health(url)[job]
        if int(str(found["runs"])) >= count:
            return found
        assert not waiting.wait(0.05)


def test_monitors_run_at_their_times_until_sigterm(project: Project) -> None:
    """The health endpoint shows each monitor's last run; a monitor that fails shows as failed, and the others go on."""
    often, bad = write(project, "often", OFTEN), write(project, "bad", OFTEN)
    write(project, "plain", "")
    project.write("bad.yaml", (project.folder / "bad.yaml").read_text().replace("items.jsonl", "nowhere.jsonl"))
    with serving(project, often, bad, "plain.yaml", write(project, "daily")) as (process, url):
        good = wait_for_runs(url, "often_often", 2)
        broken = wait_for_runs(url, "bad_bad", 2)
        daily = health(url)["daily_daily"]
        metrics = httpx.get(f"{url}/metrics", timeout=30)
        assert httpx.get(f"{url}/secret", timeout=30).status_code == 404
        assert httpx.post(f"{url}/healthz", timeout=30).status_code == 405
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert good["last_run"]["status"] in ("done", "nothing_new") and good["failed_in_a_row"] == 0  # type: ignore[index]
    assert broken["last_run"]["status"] == "failed" and broken["failed_runs"] == broken["failed_in_a_row"]  # type: ignore[index]
    assert (daily["runs"], daily["last_run"], daily["schedule"]) == (0, None, "cron 30 2 * * * Europe/Berlin")
    assert 'trueline_monitor_late{monitor="bad_bad"} 0' in metrics.text
    assert re.search(r'trueline_monitor_runs_total\{monitor="often_often"\} [2-9]', metrics.text)
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "often_often: 8 items scored" in out and "bad_bad: Failed: SourceError: nowhere.jsonl" in out
    assert "plain.yaml: not run: it has no `schedule`" in errors
    assert len(project.scores()) == 8
    assert (project.folder / "data" / "reports" / "often.html").exists()


def test_after_a_restart_the_last_stored_run_is_shown(project: Project) -> None:
    """Whoever made it, and whatever it was: the state knows it, and the new process has run nothing yet."""
    config = write(project, "daily")
    report = json.loads(project.run(config, "--json", "--quiet").stdout)
    with serving(project, config) as (_, url):
        found = health(url)["daily_daily"]
        metrics = httpx.get(f"{url}/metrics", timeout=30).text
    assert found["runs"] == 0
    assert found["last_run"]["run_id"] == report["run_id"] and found["last_run"]["status"] == "done"  # type: ignore[index]
    assert 'trueline_monitor_last_end_timestamp_seconds{monitor="daily_daily"} 1' in metrics


def test_the_process_pings_whoever_watches_it(project: Project) -> None:
    """From its start on; the token in the address is shown nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as watcher:
        url = f"http://127.0.0.1:{watcher.getsockname()[1]}/ping/secret-token-1"
        with serving(project, write(project, "daily"), "--heartbeat-url", url) as (process, _):
            connection, _ = watcher.accept()
            with connection:
                assert connection.recv(1000).startswith(b"GET /ping/secret-token-1 HTTP/1.1")
            process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "secret-token-1" not in out + errors


def test_a_connection_that_asks_nothing_keeps_nobody_out(project: Project) -> None:
    with serving(project, write(project, "daily")) as (_, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle, socket.create_connection((host, int(port))) as other:
            idle.sendall(b"GET /healthz HTTP/1.1\r\n")
            other.sendall(b"\x16\x03\x01" + b"x" * 20_000)
            assert list(health(url)) == ["daily_daily"]
        with ExitStack() as many:
            for _ in range(120):
                many.enter_context(socket.create_connection((host, int(port))))
            assert list(health(url)) == ["daily_daily"]


def test_sigterm_in_a_run_keeps_what_is_scored(project: Project) -> None:
    """Rolling out a new version in the middle of a run: the new process finishes it, nothing is lost or double."""
    project.write("mine.py", "import asyncio\n\nasync def slow(item):\n    await asyncio.sleep(0.1)\n    return 1.0\n")
    project.items(200)
    config = write(project, "slow", DAILY + "\nevaluation: {max_concurrent: 2}", "'mine:slow'")
    with serving(project, config, "--now") as (process, _):
        waiting = threading.Event()
        while _stored(project) < 4:
            assert not waiting.wait(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    kept = _stored(project)
    assert 4 <= kept < 200
    with serving(project, config, "--set", "evaluation.max_concurrent=50") as (_, url):
        wait_for_runs(url, "slow_slow", 1)  # at once, not at half past two
    assert len(project.scores()) == 200


def test_a_metric_that_hangs_does_not_hold_up_the_end(project: Project) -> None:
    """The second signal ends the process wherever it is."""
    project.write("mine.py", "import time\n\ndef hang(item):\n    time.sleep(600)\n    return 1.0\n")
    config = write(project, "hang", DAILY, "'mine:hang'")
    with serving(project, config, write(project, "fine", OFTEN), "--now") as (process, url):
        wait_for_runs(url, "fine_fine", 2)
        assert health(url)["hang_hang"]["running_since"] is not None
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 143


def test_all_monitors_can_be_run_once(project: Project) -> None:
    """For a cron that runs many monitors; the exit code is that of the worst run."""
    names = [write(project, "a", ""), write(project, "b"), write(project, "c", OFTEN)]
    summary = project.write("summary.md", "")
    done = project.run("schedule", "--once", *names, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    assert {name for name in "abc" if re.search(rf"^#.*\b{name}\b", summary.read_text(), re.M)} == set("abc")
    assert sorted(re.findall(r"(\w+): 8 items scored", done.stdout)) == ["a_a", "b_b", "c_c"]
    assert len(project.scores()) == 24
    project.write("c.yaml", (project.folder / "c.yaml").read_text().replace("items.jsonl", "nowhere.jsonl"))
    again = project.run("schedule", "--once", *names)
    assert again.returncode == 1 and "c_c: Failed" in again.stdout and "a_a: Nothing new" in again.stdout


def test_the_plan_can_be_listed(project: Project) -> None:
    project.run("schedule", "--once", write(project, "a"))
    done = project.run("schedule", "--list", "a.yaml", write(project, "b", OFTEN))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "a_a" in first and "cron 30 2 * * * Europe/Berlin; next 20" in first and "last run 20" in first
    assert "b_b" in second and "every 0.02 min" in second and "never ran" in second


def test_a_folder_stands_for_the_configurations_in_it(project: Project) -> None:
    """Kubernetes and systemd expand no wildcards."""
    for name in ("a", "b"):
        project.write(f"many/{name}.yaml", CONFIG.format(name=name, schedule=DAILY, metric="exact_match"))
    done = project.run("schedule", "--list", "many")
    assert done.returncode == 0 and [each.split()[0] for each in done.stdout.splitlines()] == ["a_a", "b_b"]
    (project.folder / "none").mkdir()
    empty = project.run("schedule", "--list", "none")
    assert empty.returncode == 2 and "none: expected configurations (*.yaml)" in empty.stderr


def test_every_mistake_is_reported_before_anything_runs(project: Project) -> None:
    write(project, "six", "schedule: {cron: '0 0 * * * *'}")
    write(project, "zone", "schedule: {cron: '0 0 * * *', timezone: Europe/Berln}")
    write(project, "both", "schedule: {cron: '0 0 * * *', interval_minutes: 5}")
    done = project.run("schedule", "six.yaml", "zone.yaml", "both.yaml", write(project, "good", OFTEN), "gone.yaml")
    assert done.returncode == 2 and not (project.folder / "data").exists()
    for says in (
        "six.yaml:4",
        "five fields",
        "zone.yaml:4",
        "Did you mean 'Europe/Berlin'?",
        "both.yaml:4",
        "exactly one of interval_minutes and cron",
        "'gone.yaml': is not a file",
    ):
        assert says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    skipping = project.run("schedule", "six.yaml", "good.yaml", "--once", "--skip-invalid")
    assert skipping.returncode == 0 and "six.yaml:4" in skipping.stderr and "good_good: 8 items" in skipping.stdout
    assert project.run("schedule", "six.yaml", "--once", "--skip-invalid").returncode == 2


def test_check_shows_when_a_cron_line_runs(project: Project) -> None:
    """In its own time zone, so that a wrong weekday or zone is seen before it is missed."""
    write(project, "a", "schedule: {cron: '30 6 * * mon-fri', timezone: Asia/Kolkata}")
    done = project.run("check", "a.yaml")
    assert re.search(r"schedule    cron 30 6 \* \* mon-fri Asia/Kolkata, by `trueline schedule`; next ", done.stdout)
    assert len(re.findall(r"(?:Mon|Tue|Wed|Thu|Fri) \d{4}-\d\d-\d\d 06:30 \+0530", done.stdout)) == 3


def test_one_monitor_in_two_files_is_refused(project: Project) -> None:
    """Two schedules of one monitor would run it twice as often as either says."""
    write(project, "a")
    text = (project.folder / "a.yaml").read_text()
    project.write("copy.yaml", text.replace("30 2", "0 9"))
    done = project.run("schedule", "a.yaml", "copy.yaml")
    assert done.returncode == 2 and "copy.yaml: the same monitor as a.yaml" in done.stderr


def test_without_any_schedule_there_is_nothing_to_serve(project: Project) -> None:
    done = project.run("schedule", write(project, "a", ""))
    assert done.returncode == 2 and "has no `schedule`" in done.stderr


def test_a_port_that_is_taken_is_named(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = project.run("schedule", write(project, "a"), "--port", str(port))
    assert done.returncode == 2 and f"127.0.0.1:{port}" in done.stderr and "--port" in done.stderr
    absurd = project.run("schedule", "a.yaml", "--port", "99999")
    assert absurd.returncode == 2 and "--port" in absurd.stderr


def _stored(project: Project) -> int:
    try:
        return len(project.scores())
    except sqlite3.Error:  # no such file or table yet
        return 0
