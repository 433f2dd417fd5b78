"""Metrics of every shape, importable by name so that other processes find them too."""

import asyncio
import math
import os
import time
from typing import Any

from shared.core.records import DatasetItem
from shared.core.results import Part, Score
from shared.scoring.metric import metric


@metric(version="3", fields={"text": "actual_output"}, threshold=5.0, high=None)
def letters(text: str, *, extra: int = 0) -> float:
    """How many letters the answer has."""
    return len(text) + extra


@metric(needs=("actual_output", "metadata.channel"))
def has_channel(item: DatasetItem) -> float:
    """A function on the item that needs something of it."""
    return float(item.get("metadata.channel") == "chat")


def plain(item: DatasetItem) -> float:
    """A function that nobody labelled."""
    return float(item.query == "yes")


class AtLeast:
    """A class that takes its parameters when it is built."""

    def __init__(self, n: int = 3) -> None:
        if n < 0:
            raise ValueError("n: expected a number >= 0")
        self.n = n

    def __call__(self, item: DatasetItem) -> float:
        return float(len(item.actual_output or "") >= self.n)


@metric(fields={"text": "actual_output"}, high=None)
class Count:
    """A class on fields."""

    def __init__(self, letter: str, **ignored: Any) -> None:
        self.letter = letter

    def __call__(self, text: str) -> float:
        return float(text.count(self.letter))


class Waits:
    """A class whose call is a coroutine."""

    async def __call__(self, item: DatasetItem) -> float:
        await asyncio.sleep(0)
        return 1.0


@metric(fields={"text": "actual_output"})
async def waits(text: str, *, seconds: float = 0.0) -> Score:
    """A coroutine on fields."""
    await asyncio.sleep(seconds)
    return Score(1.0, f"waited for {text}")


@metric(fields={"gold": "expected_output", "pred": "actual_output"}, threshold=0.5)
def swapped(pred: str, gold: str = "none") -> float:
    """Fields in another order than the arguments, one of them with a default."""
    return float(pred == gold)


@metric(needs=("metadata.answer",), low=None, high=None)
def answers(item: DatasetItem) -> Any:
    """Answers whatever the item says it should, also what no metric should answer."""
    return ODD[str(item.metadata["answer"])]


ODD: dict[str, Any] = {
    "nan": math.nan,
    "inf": math.inf,
    "string": "1.0",
    "bytes": b"1.0",
    "list": [1.0],
    "complex": 1j,
    "huge": 10**400,
    "score of a string": Score("1.0"),  # type: ignore[arg-type]  # what a careless metric does
    "score of nan": Score(math.nan),
    "part of nan": Score(1.0, parts=(Part("a", 1.0), Part("b", math.nan))),
    "true": True,
    "int": 2,
    "none": None,
}


@metric(high=1.0)
def out_of_range(item: DatasetItem) -> float:
    """A value above its range."""
    return 1.5


def explodes(item: DatasetItem) -> float:
    """Raises."""
    raise KeyError("boom")


async def explodes_later(item: DatasetItem) -> float:
    """Raises after a wait."""
    await asyncio.sleep(0)
    raise KeyError("boom")


async def gives_up(item: DatasetItem) -> float:
    """Is cancelled from the inside, as when a client library cancels its own task."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task
    return 1.0


async def times_out_itself(item: DatasetItem) -> float:
    """Raises the error of a timeout that is not the runner's."""
    raise TimeoutError("the service took 5 s")


@metric(parts={"short": 0.9})
def in_parts(item: DatasetItem) -> Score:
    """A score with sub-metrics: one with a default threshold, one with its own, one without."""
    return Score(
        0.5,
        "why",
        {"a": 1},
        (Part("short", 0.6), Part("own", 0.6, "because", 0.5), Part("free", 0.6)),
        0.01,
        "m",
    )


@metric(fields={"text": "actual_output"}, blocking=True)
def blocks(text: str) -> float:
    """Does in a process what the answer says: dies, raises, hangs, or answers."""
    if text == "die":
        os._exit(3)
    if text == "raise":
        raise KeyError("boom")
    if text == "time out":
        raise TimeoutError("the service took 5 s")
    if text == "hang":
        time.sleep(600)
    return float(text == "answer")


@metric(blocking=True, low=None, high=None)
def process_id(item: DatasetItem) -> float:
    """The process that it runs in."""
    return float(os.getpid())
