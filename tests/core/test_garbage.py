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


def test_what_is_frozen_once_stays_as_it_is() -> None:
    """Without DuckDB nothing is undone: a last collection over everything would make each command end later."""
    program = f"{FREEZE.format(module='json')}; import atexit; print(atexit._ncallbacks())"
    counts = [
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
        for text in (program, "import atexit; print(atexit._ncallbacks())")
    ]
    assert counts[0] == counts[1]
