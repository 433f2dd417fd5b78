"""The dead man's ping: an address that is asked for while all monitors run, and no longer when one does not."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.core.errors import ConfigError, Unavailable
from shared.core.ports import Notification
from shared.core.results import RunReport
from shared.monitoring.scheduling.heartbeat_alert import HeartbeatAlert
from shared.monitoring.scheduling.job_loop import JobLoop, LoopOptions
from shared.monitoring.scheduling.jobs import JobRun, JobState, ScheduledJob
from shared.wiring.config.schedule_config import IntervalTimes
from shared.wiring.serve.heartbeat_ping import HeartbeatPing
from tests.slack.fake_slack import TOKEN, fake_slack
from tests.wiring.project import PATIENCE, Project
from tests.wiring.schedule.test_schedule_command import serving

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Watcher(ThreadingHTTPServer):
    """Whoever watches the pings."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/ping/secret-token-1"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Watcher)
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with Watcher() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_pings_stop_when_a_monitor_does_not_run(watcher: Watcher) -> None:
    """The process is alive, but one of its monitors hangs: nobody may be told that all is well."""
    now = [NOON]

    async def hang() -> RunReport:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> int:
        loop = JobLoop(LoopOptions(look=0.01, clock=lambda: now[0]))
        loop.add(ScheduledJob("stuck", "stuck", IntervalTimes(timedelta(hours=1)), hang, now=True))
        tasks = [asyncio.create_task(loop.serve()), asyncio.create_task(HeartbeatPing(watcher.url, loop, 0.01).run())]
        while len(watcher.paths) < 3:
            await asyncio.sleep(0.01)
        now[0] += timedelta(hours=5)
        while not loop.states[0].late:
            await asyncio.sleep(0.01)
        count = len(watcher.paths)
        await asyncio.sleep(0.3)  # some thirty pings, were there any
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return len(watcher.paths) - count

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) <= 1  # one may have been under way


def test_a_ping_that_fails_is_reported_once_without_its_token(
    watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    watcher.status = 500

    async def scenario() -> None:
        task = asyncio.create_task(HeartbeatPing(watcher.url, JobLoop(), 0.01).run())
        while len(watcher.paths) < 4:
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(scenario(), 60))
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1 and "127.0.0.1: it answered 500" in warnings[0] and "secret-token-1" not in warnings[0]


@pytest.mark.parametrize("url", ["ftp://example.com/x", "example.com/secret-token-1", "http://", "/x"])
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--heartbeat-url") as caught:
        HeartbeatPing(url, JobLoop())
    assert "secret-token-1" not in str(caught.value)


WAITS = """\
import time
from pathlib import Path


def waits(item):
    while not Path("go").exists():
        time.sleep(0.02)
    return 1.0
"""
CONFIG = """\
name: {name}
source: {{type: file, name: {name}, path: items.jsonl, window: all}}
metrics_config: {{Waits: {{class: "mine:waits"}}}}
schedule: {{interval_minutes: 0.02}}
"""


def test_slack_is_told_once_that_monitors_do_not_run_and_once_that_they_do(tmp_path: Path) -> None:
    """Two monitors that stop together are one message, which is edited, with a reply, when both run again."""
    project = Project(tmp_path, cold=True)
    project.write("pyproject.toml", "")
    project.write("mine.py", WAITS)
    for name in ("one", "two"):
        project.write(f"{name}.yaml", CONFIG.format(name=name))
    waiting = threading.Event()
    with fake_slack() as slack:
        variables = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL_ID": "C1", "SLACK_API_URL": slack.api}
        options = ("one.yaml", "two.yaml", "--now", "--notify", "slack")
        with serving(project, *options, **variables) as (process, _):
            while not slack.messages():
                assert not waiting.wait(0.05)
            opened = slack.messages()[0]["text"]
            project.write("go", "")
            while "All monitors run again" not in slack.messages()[0]["text"]:
                assert not waiting.wait(0.05)
            process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert "2 monitor(s) do not run: one_one, two_two" in opened
        assert len(slack.messages()) == 1 and len(slack.called("chat.postMessage")) == 2
        assert TOKEN not in out + errors and "one_one (every 0.02 min) has missed two of its times" in errors


def test_a_notifier_without_its_variable_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("one.yaml", CONFIG.format(name="one").replace("mine:waits", "exact_match"))
    for notifier, missing in (("slack", "SLACK_BOT_TOKEN"), ("slack_webhook", "SLACK_WEBHOOK_URL")):
        done = project.run("schedule", "one.yaml", "--notify", notifier, SLACK_BOT_TOKEN="", SLACK_WEBHOOK_URL="")
        assert done.returncode == 2 and f"--notify {notifier}: expected the variable {missing}" in done.stderr


class Told:
    """A notifier that fails first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.found: list[tuple[str, str]] = []
        self.ids: set[str] = set()

    async def notify(self, notification: Notification) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("nobody is there")
        self.found.append((notification.state, notification.title))
        self.ids.add(notification.id)


def late_state(name: str) -> JobState:
    async def work() -> RunReport:
        raise AssertionError

    return JobState(ScheduledJob(name, name, IntervalTimes(timedelta(hours=1)), work), NOON)


def test_the_alert_of_many_monitors_is_one_that_worsens_and_ends() -> None:
    """A notifier that fails is tried again and hears the present state, and the name of nobody's trace is in it."""
    told = Told(failures=1)

    async def scenario() -> None:
        alert = HeartbeatAlert([told], clean=lambda text: text.replace("secret", "[KEY]"))
        task = asyncio.create_task(alert.run(gather=0.02, again=0.02))

        async def until(count: int) -> None:
            while len(told.found) < count:
                await asyncio.sleep(0.005)

        alert.job_late(late_state("a-secret"))
        await until(1)
        for number in range(30):
            alert.job_late(late_state(f"m{number}"))
        await until(2)
        alert.run_ended(JobRun("a-secret", NOON, NOON, NOON, "busy"))
        alert.run_ended(JobRun("m7", NOON, NOON, NOON, "failed"))
        await until(3)
        for each in ("a-secret", *(f"m{number}" for number in range(30))):
            alert.run_ended(JobRun(each, NOON, NOON, NOON, "done"))
        await until(4)
        task.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [state for state, _ in told.found] == ["opened", "worsened", "updated", "resolved"]
    assert told.found[0][1] == "1 monitor(s) do not run: a-[KEY]"
    assert told.found[1][1].startswith("31 monitor(s) do not run: a-[KEY], m0") and "11 more" in told.found[1][1]
    assert told.found[2][1].startswith("30 monitor(s)") and told.found[3][1] == "All monitors run again"
    assert len(told.ids) == 1
