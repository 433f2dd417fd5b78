"""What metrics print goes to standard error: standard output is for the report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def metrics_print_to_stderr() -> Iterator[None]:
    """Send what users' code prints, here and in its processes, to standard error: standard output is the report's."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
