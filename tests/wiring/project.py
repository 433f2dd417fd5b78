"""A project folder of its own, in which commands are run as real processes."""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "run_monitoring.py"
PATIENCE = 120.0  # seconds
CONFIG = """\
name: cli
source: {type: file, name: cli, path: items.jsonl, window: all}
metrics_config:
  Exact: {class: exact_match}
  Short: {class: length, max_chars: 20}
"""


class Warm:
    """A process of `warm.py`, which has imported everything and forks for every command."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("warm.py")), str(SCRIPT)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._one = Lock()

    def run(
        self, arguments: list[str], folder: Path, environment: Mapping[str, str], outputs: tuple[Path, Path]
    ) -> int:
        """The exit code of a command; what it prints goes to the two files."""
        out, err = map(str, outputs)
        asked = {"arguments": arguments, "folder": str(folder), "environment": environment, "out": out, "err": err}
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._one:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
                os.killpg(self._process.pid, 9)
                raise subprocess.TimeoutExpired(arguments, PATIENCE)
            return int(self._process.stdout.readline())


@cache
def warm() -> Warm:
    """This session's; it ends when the session does, for its standard input ends then."""
    return Warm()


def cold_environment() -> dict[str, str]:
    """The environment of a process of its own: it may keep what it compiles, or every one would compile everything."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def ran(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end in a folder, by a process that is forked from the warm one."""
    given = {**os.environ, "NO_COLOR": "1", **environment}
    with NamedTemporaryFile("r") as out, NamedTemporaryFile("r") as err:
        code = warm().run([*arguments], folder, given, (Path(out.name), Path(err.name)))
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


class Project:
    """A project folder of its own, in which commands are run as real processes.

    Their imports are made once a session, by the process that they are forked from, unless `cold`.
    """

    def __init__(self, folder: Path, cold: bool = False) -> None:
        self.folder, self.cold = folder, cold
        (folder / ".env").touch()
        self.write("m.yaml", CONFIG)
        self.items(8)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def items(self, count: int, more: tuple[str, ...] = ()) -> None:
        rows = [json.dumps({"id": f"i{n}", "actual_output": f"a{n}", "expected_output": "a1"}) for n in range(count)]
        self.write("items.jsonl", "\n".join([*rows, *more]) + "\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(SCRIPT), *arguments]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command, run until it ends."""
        given = {"COLUMNS": "100", **environment}
        if not self.cold:
            return ran(self.folder, *arguments, **given)
        child = self.started(*arguments, **given)
        out, err = child.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, child.returncode, out, err)

    def started(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The command as a process that goes on by itself."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env={**cold_environment(), "NO_COLOR": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def report(self, *arguments: str) -> dict[str, dict[str, int]]:
        done = self.run("m.yaml", "--json", "--quiet", *arguments)
        assert done.returncode == 0, done.stderr
        found: dict[str, dict[str, int]] = json.loads(done.stdout)
        return found

    def scores(self) -> list[tuple[str, str, float]]:
        with sqlite3.connect(self.folder / "data" / "state" / "trueline.db") as connection:
            rows = connection.execute("select item_id, label, value from scores order by item_id, label")
            return list(rows)
