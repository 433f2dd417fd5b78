"""Synchronous calls inside a running event loop, which every notebook has."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path

import pytest

from shared.core.event_loops import run_blocking
from trueline import DatasetItem, OnlineMonitor, bind, evaluate, metric

CONFIG = """\
name: notebook
source: {type: file, path: items.jsonl, window: all}
metrics_config: {Exact: {class: exact_match}}
"""
caller: ContextVar[str] = ContextVar("caller")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a"} for n in range(3)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "m.yaml").write_text(CONFIG)
    return tmp_path / "m.yaml"


def test_a_monitor_runs_inside_a_running_loop(config: Path) -> None:
    """`OnlineMonitor.run()` in a notebook's cell: the run ends, and its rows are read by the caller's thread."""

    async def cell() -> list[float]:
        result = OnlineMonitor.from_yaml(config).run()
        again = OnlineMonitor.from_yaml(config).run()
        assert (result.report.counts.scored, again.report.counts.scored) == (3, 0)
        scores: list[float] = result.to_dataframe().score.tolist()
        return scores

    assert asyncio.run(cell()) == [1.0, 1.0, 1.0]


def test_evaluate_runs_inside_a_running_loop() -> None:
    """`evaluate()` is for notebooks too."""

    @metric(version="1")
    def one(item: DatasetItem) -> float:
        return 1.0

    async def cell() -> int:
        return len(evaluate([DatasetItem(id="a"), DatasetItem(id="b")], [bind(one, "One")]).to_dataframe())

    assert asyncio.run(cell()) == 2


def test_the_callers_context_variables_are_seen() -> None:
    """What a tracer or a logger of the caller's keeps in context variables holds inside as well."""

    async def inside() -> tuple[str, bool]:
        await asyncio.sleep(0)
        return caller.get(), threading.current_thread() is threading.main_thread()

    async def cell() -> tuple[str, bool]:
        caller.set("the notebook")
        return run_blocking(inside())

    assert asyncio.run(cell()) == ("the notebook", False)


def test_errors_come_through_and_the_thread_ends() -> None:
    """The caller gets the error itself; generators are closed, and no thread of ours is left behind."""
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def fails() -> None:
        stream = numbers()
        await anext(stream)
        raise ValueError("no such item")

    async def cell() -> None:
        with pytest.raises(ValueError, match="no such item"):
            run_blocking(fails())

    before = threading.active_count()
    asyncio.run(cell())
    assert closed == [True] and threading.active_count() == before


def test_an_interrupt_ends_what_runs() -> None:
    """The stop button of a notebook interrupts the waiting thread: the run is cancelled, not left behind."""
    ended: list[str] = []

    async def long() -> None:
        threading.Timer(0.2, interrupt.set).start()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    interrupt = threading.Event()

    async def cell() -> None:
        waiting = threading.main_thread().ident
        assert waiting is not None

        def press_stop() -> None:
            interrupt.wait(10)
            signal.pthread_kill(waiting, signal.SIGINT)

        threading.Thread(target=press_stop, daemon=True).start()
        try:
            run_blocking(long())
        except KeyboardInterrupt:
            ended.append("interrupted")

    loop = asyncio.new_event_loop()  # not asyncio.run: its own handler of SIGINT would take the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with `&`
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()
        signal.signal(signal.SIGINT, before)
    assert ended == ["cancelled", "interrupted"]
