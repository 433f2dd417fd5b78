"""The dead man's ping: an address that is asked for while all monitors run, and no longer when one does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.core.errors import ConfigError
from shared.core.results import RunReport
from shared.monitoring.scheduling.job_loop import JobLoop, LoopOptions
from shared.monitoring.scheduling.jobs import ScheduledJob
from shared.wiring.config.schedule_config import IntervalTimes
from shared.wiring.serve.heartbeat_ping import HeartbeatPing


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
    now = [datetime(2026, 3, 2, 12, tzinfo=UTC)]

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
