"""What is loaded stays out of garbage collection until the process ends."""

from __future__ import annotations

import subprocess
import sys

FREEZE = "import gc, {module}; from shared.core.garbage import freeze_loaded_objects as freeze; freeze(); freeze()"


def test_a_process_that_has_loaded_duckdb_ends_without_reports_of_leaks() -> None:
    """DuckDB takes what is still frozen at the end for leaked, and prints a line for each object."""
    program = f"{FREEZE.format(module='duckdb')}; assert gc.get_freeze_count()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_duckdb_may_be_loaded_later() -> None:
    """A command freezes what it has before it reads its first file."""
    program = f"{FREEZE.format(module='json')}; import duckdb; held = duckdb.connect()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_is_frozen_stays_as_it_is() -> None:
    """Without DuckDB nothing is undone: a last collection over everything would make each command end later."""
    at_end = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
    program = at_end + FREEZE.format(module="json")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
