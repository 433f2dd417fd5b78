"""Other processes for the contract suites: real ones, that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def command(job: str, *arguments: object) -> list[str]:
    """The command line that runs a function of `children.py`."""
    return [sys.executable, "-m", "tests.contracts.adapters.children", job, *map(str, arguments)]


def environment() -> dict[str, str]:
    """The environment in which the child finds our packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


@contextmanager
def started(job: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A child that runs; killed and waited for at the end of the block, if it has not ended by then."""
    with subprocess.Popen(
        command(job, *arguments), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def said(job: str, *arguments: object) -> str:
    """What a child printed that ended well."""
    done = subprocess.run(
        command(job, *arguments), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def line(child: subprocess.Popen[str]) -> str:
    """The next line that a child prints."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def rest(child: subprocess.Popen[str]) -> list[str]:
    """All further lines of a child that ends or has been killed."""
    assert child.stdout is not None
    return child.stdout.read().split()
