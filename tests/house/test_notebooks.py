"""Notebooks that cannot drift: each runs from the first cell to the last, and gives what it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
ALONE = """
import runpy, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"a notebook reached for the network: {event}")

sys.addaudithook(refuse)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_it_shows_without_network_or_key(path: Path, tmp_path: Path) -> None:
    """In a fresh process, with the network refused and nothing in the environment; what it writes would be seen."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    command = [sys.executable, "-c", ALONE, str(ROOT / "scripts" / "run_notebook.py"), str(path), "--check"]
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["data"]
    assert path.stat().st_size < 50_000


def test_a_notebook_that_shows_something_else_is_told(tmp_path: Path) -> None:
    """The check compares: printed text, and the value of a cell's last expression, awaited or not."""
    source: dict[str, object] = {"cell_type": "code", "outputs": [], "metadata": {}, "execution_count": None}
    sources = ["import asyncio\nprint('a')", "await asyncio.sleep(0, 'b')", "x = 1"]
    notebook = {"cells": [source | {"source": [each]} for each in sources], "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook))
    run = [sys.executable, str(ROOT / "scripts" / "run_notebook.py"), str(path)]
    told = subprocess.run([*run, "--check"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 1
    assert "cell 1 gives something else" in told.stderr and "cell 2" in told.stderr and "cell 3" not in told.stderr
    assert subprocess.run(run, timeout=60).returncode == 0
    texts = [cell["outputs"] for cell in json.loads(path.read_text())["cells"]]
    assert texts[0][0]["text"] == ["a\n"] and texts[1][0]["data"]["text/plain"] == ["'b'"] and texts[2] == []
    assert subprocess.run([*run, "--check"], timeout=60).returncode == 0
