"""Blocking metrics in processes of their own, which can be killed when they take too long.

A process serves one call at a time over a pipe and is started when it is first needed, again after it was killed. The
kept pools that were tried start replacements at once and in the background: a process dying at the wrong moment took
calls of others with it, and one starting while the pool was closed left its traceback in the log.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from shared.core.best_effort import attempt
from shared.core.records import DatasetItem
from shared.scoring.metric import BoundMetric, MetricOptions, bind

_START = 60.0  # seconds in which a process must have started


class RemoteMetricError(Exception):
    """What a metric raised in its process, in words: the error itself may not survive the way back."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class KillablePool:
    """Up to `workers` processes. A call over its limit loses its process, not the run."""

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="blocking-metric")
        self._idle: list[_Worker] = []

    async def call(self, metric: BoundMetric, item: DatasetItem, limit: float | None) -> object:
        """The metric's answer on the item, made in another process.

        The metric's function must be importable there by its module and name.

        Raises:
            TimeoutError: after `limit` seconds; the process is killed.
            Reported: what the metric raised, or `ProcessDied` when its process ended.
        """
        worker = self._idle.pop() if self._idle else _Worker()
        question = (metric.target, dict(metric.params), dict(metric.field_mapping), item)
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, worker.ask, question, limit)
        except BaseException:
            worker.kill()
            raise
        self._idle.append(worker)
        if isinstance(answer, _PickledError):
            raise RemoteMetricError(answer.kind, answer.message)
        return answer

    def close(self) -> None:
        """End all processes; those in mid-call were killed when their call was cancelled."""
        for worker in self._idle:
            worker.kill()
        self._threads.shutdown(wait=True)


class _Worker:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._killed = False

    def ask(self, question: object, limit: float | None) -> object:
        """Send a question and wait for the answer; runs in a thread."""
        if self._process is None:
            self._start()
        try:
            self._pipe.send(question)
            if not self._pipe.poll(limit):
                raise TimeoutError
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise self._death_error() from None

    def kill(self) -> None:
        """End the process at once."""
        self._killed = True
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if self._killed:  # cancelled while it was starting
            self._process.kill()
        try:
            if not self._pipe.poll(_START):
                raise RemoteMetricError("ProcessDied", f"its process did not start within {_START:g} s")
            self._pipe.recv()
        except (EOFError, ConnectionError):
            raise self._death_error() from None

    def _death_error(self) -> RemoteMetricError:
        assert self._process is not None
        self._process.join(1.0)
        return RemoteMetricError("ProcessDied", f"its process ended with exit code {self._process.exitcode}")


@dataclass(frozen=True, slots=True)
class _PickledError:
    """An error on its way between processes, in words, for pickling the error itself may fail."""

    kind: str
    message: str


def _serve(pipe: Connection) -> None:
    """Answer questions until the parent is gone. Ctrl-C is left to the parent, which ends its processes itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send("ready")
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        answer = _call_metric(*question)
        sent = attempt(pipe.send, answer)
        if isinstance(sent, Exception):  # the answer cannot be pickled
            pipe.send(_PickledError(type(sent).__name__, f"its answer cannot be brought back: {sent}"))


def _call_metric(
    target: Callable[..., Any], params: dict[str, Any], mapping: dict[str, str], item: DatasetItem
) -> object:
    def answer(item: DatasetItem) -> object:
        return bind(target, "blocking", params, MetricOptions(blocking=True, field_mapping=mapping)).call(item)

    found = attempt(answer, item)
    if not isinstance(found, Exception):
        return found
    text = attempt(str, found)
    return _PickledError(type(found).__name__, text if isinstance(text, str) else "its message cannot be read")
