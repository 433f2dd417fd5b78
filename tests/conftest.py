"""What holds for the whole session."""

from __future__ import annotations

import sys


def pytest_sessionfinish() -> None:
    """End the Postgres that this process has started for its tests, if it has."""
    served = sys.modules.get("tests.contracts.adapters.served")
    if served is not None:
        served.ended()
