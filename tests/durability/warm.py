"""The command line in real processes that start at once: each is forked from one that has imported everything.

with Warm() as warm:
    child = warm.start(folder, "m.yaml", "--quiet")
    child.kill()

Run as a program (`python -m tests.durability.warm`) it is the process that forks.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[2]
CLOCK, LARGEST_FILE = "TEST_CLOCK_DAYS", "TEST_LARGEST_FILE"
"""Variables of a command: days by which its clock is ahead, bytes that a file may have."""

STACKS, SAID = "stacks-{}.txt", "said-{}.txt"
_MODULES = (
    "shared.wiring.commands.run_command",
    "shared.wiring.run.session",
    "shared.privacy.redacting_sinks",
    "shared.files.file_source",
    "shared.files.file_sink",
    "shared.langfuse.source.trace_source",
    "shared.report.page.html",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql",
    "psycopg",
    "psycopg.types.json",
    "alembic.command",
    "duckdb",
    "httpx",
)


@dataclass
class Child:
    """One process. `stacks` is where its main thread stood when it was killed, `said` its output."""

    warm: Warm
    pid: int
    folder: Path
    number: int

    def ended(self, within: float = 0.0) -> int | None:
        """Its exit code (minus the signal that killed it) once it has ended, else None after so many seconds."""
        return self.warm.status(self.pid, within)

    def kill(self, note: bool = False) -> None:
        """SIGKILL. With `note` it is first asked where it stands; it gets half a millisecond for the answer.

        It may have ended a moment before.
        """
        with suppress(ProcessLookupError):
            if note:
                os.kill(self.pid, signal.SIGUSR1)
                time.sleep(0.0005)
            os.kill(self.pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal; the process may have ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def stacks(self) -> str:
        return self._written(STACKS)

    @property
    def said(self) -> str:
        return self._written(SAID)

    def _written(self, name: str) -> str:
        path = self.folder / name.format(self.number)
        return path.read_text() if path.exists() else ""  # it may be killed before it begins


class Warm:
    """Starts processes. Used by one thread."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.durability.warm"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._statuses: dict[int, int] = {}
        self._begun: list[int] = []
        self._count = 0
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe(self._server.stdin).close()
        self._server.wait(timeout=60)
        self._pipe(self._server.stdout).close()

    def start(self, folder: Path, *arguments: str, **environment: str) -> Child:
        """Begin a command in the folder."""
        self._count += 1
        order = {"folder": str(folder), "arguments": arguments, "environment": environment, "number": self._count}
        pipe = self._pipe(self._server.stdin)
        pipe.write(json.dumps(order).encode() + b"\n")
        pipe.flush()
        while not self._begun:
            self._listen(1.0)
        return Child(self, self._begun.pop(), folder, self._count)

    def status(self, pid: int, within: float) -> int | None:
        """What a process ended with."""
        until = time.monotonic() + within
        while pid not in self._statuses:
            left = until - time.monotonic()
            self._listen(max(left, 0.0))
            if left <= 0:
                break
        return self._statuses.get(pid)

    def _listen(self, seconds: float) -> None:
        pipe = self._pipe(self._server.stdout)
        if not select.select([pipe], [], [], seconds)[0]:
            return
        found = os.read(pipe.fileno(), 65536)
        assert found, "the process that forks has gone"
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            word, *numbers = line.split()
            if word == b"begun":
                self._begun.append(int(numbers[0]))
            else:
                self._statuses[int(numbers[0])] = int(numbers[1])

    @staticmethod
    def _pipe(found: IO[bytes] | None) -> IO[bytes]:
        assert found is not None
        return found


def serve() -> None:
    """Fork a child for each line of the input; say when one has begun and when it has ended; end with the input."""
    for name in _MODULES:
        importlib.import_module(name)
    children: set[int] = set()
    rest = b""
    while True:
        if select.select([0], [], [], 0.002 if children else None)[0]:
            found = os.read(0, 65536)
            if not found:
                break
            *lines, rest = (rest + found).split(b"\n")
            children.update(_forked(json.loads(line)) for line in lines)
        for pid in tuple(children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                children.remove(pid)
                _tell(f"ended {pid} {os.waitstatus_to_exitcode(status)}")
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _forked(order: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _tell(f"begun {pid}")
        return pid
    try:
        code = _command(order)
    finally:
        sys.stderr.flush()
    os._exit(code)


def _command(order: Mapping[str, Any]) -> int:
    os.chdir(order["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(SAID.format(order["number"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(nothing, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    stacks = open(STACKS.format(order["number"]), "wb")  # noqa: SIM115 - open until the end
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=False)  # running threads cannot be looked at safely
    os.environ.update(order["environment"])
    _set_limits(order["environment"])
    from shared.wiring.cli import main

    code = main(list(order["arguments"]))
    sys.stdout.flush()
    return code


def _set_limits(environment: Mapping[str, str]) -> None:
    if environment.get(CLOCK):
        from shared.core import clock

        clock.AHEAD = timedelta(days=float(environment[CLOCK]))  # type: ignore[attr-defined]  # for the code below
        # The code is changed and not the name, under which other modules have it already.
        clock.utc_now.__code__ = (lambda: datetime.now(UTC) + AHEAD).__code__  # type: ignore[name-defined]  # noqa: F821 - of the module `clock`
    if environment.get(LARGEST_FILE):
        largest = int(environment[LARGEST_FILE])
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def _tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    serve()
