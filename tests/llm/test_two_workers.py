"""Two workers, retries and all, against a server that counts what comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import TransientError
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.openai.server_settings import OpenAISettings
from tests.contracts.adapters.processes import ROOT, environment
from tests.http.fake_time import FakeTime
from tests.http.test_limits import most_in_a_window
from tests.llm.fake_openai import BROKEN, CUT, busy, standing_in

WORKER = """
import sys, time
from shared.core.errors import TransientError
from shared.http import minute_limits as limits
from shared.http.client_runtime import ClientRuntime
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.openai.server_settings import OpenAISettings

def clock():
    read.append(time.monotonic())
    return read[-1]

async def acquire(self, tokens):
    await let_through(self, tokens)
    print(read[-1])

read = []
let_through, limits.MinuteLimits.acquire = limits.MinuteLimits.acquire, acquire
limits.WINDOW = float(sys.argv[3])
settings = OpenAISettings(
    base_url=sys.argv[1], model="small", requests_per_minute=20, limits_file=sys.argv[2], breaker_failures=1000)
adapter = OpenAICompatibleAdapter(settings, ClientRuntime(clock))
for number in range(20):
    try:
        adapter.complete_with_logprobs(str(number))
    except TransientError:
        pass
adapter.close()
"""


def test_retries_of_two_workers_keep_the_rate(tmp_path: Path) -> None:
    """Every request counts: first tries, retries after 500, after 429 and after lost connections, of both workers."""
    fake = FakeTime()
    with standing_in(fake.clock) as server:
        server.faults.extend([BROKEN, busy(), CUT, busy("0"), BROKEN] * 12)
        settings = OpenAISettings(
            base_url=server.url,
            model="small",
            requests_per_minute=30,
            limits_file=str(tmp_path / "limits.json"),
            breaker_failures=1000,
        )
        workers = [OpenAICompatibleAdapter(settings, fake.runtime(seed)) for seed in range(2)]
        failed = 0
        for number in range(60):
            try:
                workers[number % 2].complete_with_logprobs(str(number))
            except TransientError:
                failed += 1
        for worker in workers:
            worker.close()
        assert failed >= 15
        assert len(server.questions) >= 100
        assert most_in_a_window([each.at for each in server.seen]) <= 30


@pytest.mark.slow
def test_two_processes_keep_the_rate(tmp_path: Path) -> None:
    """The same with two real processes at once and real time, in windows of three seconds: by the limiter's own clock,
    for a busy machine may hold up a request that was let through in time."""
    with standing_in() as server:
        server.faults.extend([BROKEN, busy("0")] * 10)
        command = [sys.executable, "-c", WORKER, server.url, str(tmp_path / "limits.json"), "3.0"]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
        workers = [subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes) for _ in range(2)]
        times = sorted(float(at) for worker in workers for at in worker.communicate(timeout=120)[0].split())
        assert [worker.returncode for worker in workers] == [0, 0]
        assert len(times) == len(server.seen) >= 50
        assert most_in_a_window(times, 3.0) <= 20
