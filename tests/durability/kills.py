"""Killing a monitor at many points, until it is done: where the kills fell, and what was lost or doubled by them.

A kill comes at a random time, when the state has grown to a random size, when a file of the sink appears, or at a
random request to Langfuse, whose answer nobody hears any more. Nothing in the monitor knows of it.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg

from tests.durability.subject import Rows, Subject
from tests.durability.warm import Child, Warm
from tests.langfuse.fake_server.faults import CUT, Fault
from tests.langfuse.fake_server.wire import Request

_FRAME = re.compile(r'File ".*?/src/shared/(\S+)\.py", line \d+ in (\w+)')
_STEPS = {
    "open_database": "opening",
    "start_run": "beginning",
    "take_in": "reading",
    "_read": "reading",
    "fetch": "reading",
    "_draw": "drawing",
    "record_draw": "drawing",
    "_store": "storing",
    "_keep_storing": "storing",
    "give_up": "storing",
    "database/outbox.pack": "packing",
    "_pack": "packing",
    "database/outbox.close": "marking",
    "_mark": "marking",
    "mark": "marking",
    "database/outbox.settle": "settling",
    "verify": "verifying",
    "publish": "publishing",
    "send": "publishing",
    "drain": "publishing",
    "finish_run": "ending",
    "try_page": "ending",
}
"""What a function on the stack says of the step; the innermost one that is known decides."""

_FOLDERS = {"scoring": "scoring", "files/sink": "publishing", "langfuse/gathering": "reading", "report": "ending"}
_REQUESTS = {
    "GET health": "connecting",
    "GET projects": "connecting",
    "POST scores": "publishing",
    "GET scores": "verifying",
}


@dataclass
class Clean:
    """What one run without a kill leaves, and what it took: seconds, bytes or rows of state, requests."""

    rows: Rows
    seconds: float
    size: int
    requests: int


@dataclass
class Trial:
    """One monitor, killed until it was done. `steps` are where the kills fell, `ways` what they were timed by."""

    steps: list[str] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    runs: int = 0


def run_clean(warm: Warm, subject: Subject) -> Clean:
    """Run to the end, twice: the second run finds nothing to do."""
    start = time.monotonic()
    finish(warm, subject)
    seconds = time.monotonic() - start
    requests = 0 if subject.server is None else len(subject.server.seen)
    clean = Clean(subject.rows(), seconds, Size(subject)(), requests)
    finish(warm, subject)
    assert subject.rows() == clean.rows
    return clean


def finish(warm: Warm, subject: Subject, *arguments: str) -> None:
    """Run to the end."""
    child = warm.start(subject.folder, "m.yaml", *arguments, **subject.environment)
    code = child.ended(120)
    assert code == 0, f"{code}: {child.said}"


def run_killed(warm: Warm, subject: Subject, clean: Clean, chance: Random, most: int) -> Trial:
    """Run and kill up to `most` times, or until a run is faster than its kill; then run to the end and compare."""
    trial = Trial()
    for _ in range(most):
        trial.runs += 1
        way, step = _killed(warm, subject, clean, chance)
        if not step:
            break
        trial.ways.append(way)
        trial.steps.append(step)
        trial.early += subject.early()
    finish(warm, subject)
    rows = subject.rows()
    trial.lost, trial.double = rows.lost(clean.rows), rows.double(clean.rows)
    return trial


def run_together(warm: Warm, subject: Subject, clean: Clean, chance: Random, workers: int, most: int) -> Trial:
    """Run so many at once and kill up to `most` of them, a random one at random times; another takes its place."""
    trial, children = Trial(), [warm.start(subject.folder, "m.yaml", **subject.environment) for _ in range(workers)]
    trial.runs = workers
    pauses = [chance.uniform(0.02, 2 * clean.seconds / max(most, 1)) for _ in range(most)]
    while children:
        time.sleep(pauses.pop() if pauses else 0.02)
        victim = chance.choice(children)
        if len(trial.steps) < most and victim.ended() is None:
            victim.kill(note=True)
            if victim.ended(60) != 0:
                trial.ways.append("time")
                trial.steps.append(step_of(victim, subject, 0 if subject.server is None else len(subject.server.seen)))
                children.append(warm.start(subject.folder, "m.yaml", **subject.environment))
                trial.runs += 1
        for child in [each for each in children if each.ended() is not None]:
            children.remove(child)
            assert child.ended() in (0, -9, -10), f"{child.ended()}: {child.said}"
    finish(warm, subject)
    trial.early = subject.early()
    rows = subject.rows()
    trial.lost, trial.double = rows.lost(clean.rows), rows.double(clean.rows)
    return trial


def _killed(warm: Warm, subject: Subject, clean: Clean, chance: Random) -> tuple[str, str]:
    """One run and its kill: by what it was timed, and where it fell (nowhere when the run had ended by itself)."""
    ways = (
        ["time", "time", "size", "file"] if subject.server is None else ["time", "size", "file", "request", "request"]
    )
    way = chance.choice(ways)
    before = 0 if subject.server is None else len(subject.server.seen)
    child = warm.start(subject.folder, "m.yaml", **subject.environment)
    if way == "request":
        _at_request(subject, child, chance.randint(1, clean.requests), chance.choice([None, CUT]))
    else:
        _wait(child, _due(way, subject, clean, chance))
    code = child.ended(60)
    if subject.server is not None:
        subject.server.faults.chance = lambda _: None
    assert code in (0, -9, -10), f"{code}: {child.said}"
    return way, "" if code == 0 else step_of(child, subject, before)


def _due(way: str, subject: Subject, clean: Clean, chance: Random) -> Callable[[], bool]:
    if way == "time":
        until = time.monotonic() + chance.uniform(0.02, 0.9 * clean.seconds)
        return lambda: time.monotonic() >= until
    if way == "size":
        size, least = Size(subject), chance.randrange(clean.size // 2, clean.size)
        return lambda: size() >= least
    before, until = _files(subject.folder), time.monotonic() + 60
    pause = chance.choice([0, 0, 0.001, 0.003, 0.01])

    def appeared() -> bool:
        found = _files(subject.folder) != before
        time.sleep(pause if found else 0)
        return found or time.monotonic() >= until

    return appeared


def _wait(child: Child, due: Callable[[], bool]) -> None:
    while child.ended(0.0005) is None:
        if due():
            child.kill(note=True)
            return


def _at_request(subject: Subject, child: Child, number: int, fault: Fault | None) -> None:
    """Kill when the n-th request has arrived; with a fault it has no effect any more, else it has."""
    assert subject.server is not None
    left = [number]

    def kills(_: Request) -> Fault | None:
        left[0] -= 1
        if left[0] == 0:
            child.kill(note=True)
            return fault
        return None

    subject.server.faults.chance = kills


def _files(folder: Path) -> set[str]:
    return {str(path) for path in (folder / "out").rglob("*")}


class Size:
    """How far the state has grown: bytes of SQLite's files, or rows in Postgres."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def __call__(self) -> int:
        if self._subject.kind.store != "postgres":
            return sum(path.stat().st_size for path in self._there())
        with psycopg.connect(self._subject.url) as connection:
            if not connection.execute("select 1 from pg_tables where tablename = 'scores'").fetchone():
                return 0
            row = connection.execute("select (select count(*) from scores) + (select count(*) from decisions)")
            return int((row.fetchone() or (0,))[0])

    def _there(self) -> Iterator[Path]:
        for suffix in ("", "-wal"):
            path = self._subject.folder / "data" / "state" / f"trueline.db{suffix}"
            if path.exists():
                yield path


def step_of(child: Child, subject: Subject, before: int) -> str:
    """Where a process stood that was killed, by its stack, else by its last request (behind the first `before` that the
    server has seen), its state or its last word.
    """
    for file, function in _FRAME.findall(child.stacks):
        found = (
            _STEPS.get(f"{file}.{function}")
            or _STEPS.get(function)
            or next((step for part, step in _FOLDERS.items() if file.startswith(part)), "")
        )
        if found:
            return found
    requests = [] if subject.server is None else subject.server.seen[before:]
    asked = f"{requests[-1].method} {requests[-1].path.rpartition('/')[2]}" if requests else ""
    if asked in _REQUESTS:
        return _REQUESTS[asked]
    if "scoring" in child.said:
        return subject.under_way() or "scoring"
    return "reading" if "reading" in child.said else "starting"


def steps(trials: list[Trial]) -> Counter[str]:
    """How many kills fell where."""
    return Counter(step for trial in trials for step in trial.steps)
