"""A project folder of its own, in which commands are run as real processes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "run_monitoring.py"
CONFIG = """\
name: cli
source: {type: file, name: cli, path: items.jsonl, window: all}
metrics_config:
  Exact: {class: exact_match}
  Short: {class: length, max_chars: 20}
"""


class Project:
    """A project folder of its own, in which commands are run as real processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def started(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The command as a process that goes on by itself."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", **environment},
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
