"""The batch lane under kills and beside other processes: real ones, on one database, against one provider."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shared.core.clock import utc_now
from shared.core.errors import Postponed
from shared.database.engine.database import open_database
from shared.database.stores.sql_batches import SqlBatches
from shared.http.client_runtime import ClientRuntime
from shared.llm.batch.batch_adapter import BatchAdapter
from shared.llm.batch.batch_jobs import LEASE
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings
from tests.contracts.adapters.processes import ROOT, environment
from tests.llm.fake_batch_api import BatchStandIn, batches_standing_in
from tests.llm.test_batch_lane import SPEED, run, sleep

TEXTS = [f"question {number}" for number in range(20)]

CHILD = """
import asyncio, sys
from shared.core.errors import Postponed
from shared.database.stores.sql_batches import SqlBatches
from shared.database.engine.database import open_database
from shared.llm.batch.batch_adapter import BatchAdapter
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings

url, path, gather, wait, *texts = sys.argv[1:]
settings = OpenAISettings(base_url=url, model="small")
adapter = BatchAdapter(settings, BatchSettings(gather=float(gather), wait=float(wait)), SqlBatches(open_database(path)))

async def one(text):
    try:
        print((await adapter.complete(text, 99)).text, flush=True)
    except Postponed:
        print("postponed", flush=True)

async def main():
    await asyncio.gather(*(one(text) for text in texts))
    print("asked", flush=True)
    if wait == "0":
        sys.stdin.read()
    await adapter.aclose()

asyncio.run(main())
"""


@pytest.fixture
def server() -> Iterator[BatchStandIn]:
    with batches_standing_in() as standin:
        yield standin


def child(server: BatchStandIn, path: Path, gather: float, wait: float, *texts: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, "-c", CHILD, server.url, str(path), f"{gather:g}", f"{wait:g}", *texts]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes)


def killed(process: subprocess.Popen[str]) -> str:
    """Kill it; what it had said."""
    process.send_signal(signal.SIGKILL)
    return process.communicate(timeout=60)[0]


def next_run(server: BatchStandIn, path: Path, ahead: timedelta = timedelta(0), wait: float = 600.0) -> list[str]:
    """The same questions, asked in this process some time later."""
    database = open_database(path)
    clock = ClientRuntime(lambda: time.monotonic() * SPEED, lambda: utc_now() + ahead, sleep, Random(1))
    settings = OpenAISettings(base_url=server.url, model="small")
    try:
        return run(BatchAdapter(settings, BatchSettings(gather=10.0, wait=wait), SqlBatches(database), clock), *TEXTS)
    finally:
        database.close()


ANSWERS = [f"You said {text}" for text in TEXTS]


def test_killed_between_asking_and_the_answer(server: BatchStandIn, tmp_path: Path) -> None:
    """The next run gets the answers of the batch that is under way; the server saw one batch."""
    server.polls = 10**6
    path = tmp_path / "state.db"
    process = child(server, path, 0.3, 100, *TEXTS)
    assert server.created.wait(60)
    while not any(job.polls for job in server.jobs):
        time.sleep(0.01)
    assert killed(process) == ""
    server.polls = 0
    assert next_run(server, path) == ANSWERS
    assert sorted(server.asked) == sorted(TEXTS)
    assert len(server.jobs) == 1


@pytest.mark.parametrize(("fault", "before"), [("stuck after", 1), ("stuck before", 0)])
def test_killed_while_the_batch_is_made(server: BatchStandIn, tmp_path: Path, fault: str, before: int) -> None:
    """The file is there, and whether the batch is nobody knows. While the dead one's lease runs nothing is made twice;
    after it the batch is found by its intent, or made.
    """
    server.create_faults.append(fault)
    path = tmp_path / "state.db"
    process = child(server, path, 0.3, 100, *TEXTS)
    assert server.created.wait(60)
    killed(process)
    assert len(server.jobs) == before
    assert next_run(server, path, wait=60.0) == ["Postponed"] * len(TEXTS)
    assert len(server.jobs) == before
    assert next_run(server, path, ahead=LEASE + timedelta(minutes=1)) == ANSWERS
    assert len(server.jobs) == 1


def test_killed_before_anything_is_sent(server: BatchStandIn, tmp_path: Path) -> None:
    """What was queued is sent by the next run, also what that run does not ask."""
    path = tmp_path / "state.db"
    process = child(server, path, 1000, 0, *TEXTS)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(len(TEXTS) + 1)]
    assert said == ["postponed"] * len(TEXTS) + ["asked"]
    killed(process)
    assert server.jobs == []
    assert next_run(server, path) == ANSWERS
    assert len(server.jobs) == 1


def test_two_processes_at_once_ask_each_question_once(server: BatchStandIn, tmp_path: Path) -> None:
    """They share their questions in part; both get every answer, the provider gets every question once."""
    server.polls = 3
    path = tmp_path / "state.db"
    open_database(path).close()
    sets = [TEXTS[:14], TEXTS[6:]]
    processes = [child(server, path, 0.5, 60, *texts) for texts in sets]
    said = [process.communicate(timeout=120)[0].split("\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    for lines, texts in zip(said, sets, strict=True):
        assert Counter(lines) == Counter([*(f"You said {text}" for text in texts), "asked", ""])
    assert sorted(server.asked) == sorted(TEXTS)


def test_threads_of_two_runs_in_one_process(server: BatchStandIn, tmp_path: Path) -> None:
    """Two adapters over one store are two runs: the one that asks later finds the question in the other's batch."""
    server.polls = 2
    database = open_database(tmp_path / "state.db")
    settings = OpenAISettings(base_url=server.url, model="small")
    first, second = (
        BatchAdapter(settings, BatchSettings(gather=0.0, wait=wait), SqlBatches(database)) for wait in (0.0, 60.0)
    )
    with pytest.raises(Postponed):
        first.complete_with_logprobs("a", 99)
    first.close()
    assert second.complete_with_logprobs("a", 99).text == "You said a"
    second.close()
    database.close()
    assert server.asked == ["a"]
