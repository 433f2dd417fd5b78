"""What holds for the whole session."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _search_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that loads a project adds the project's folders to `sys.path`; the next test does not find them there."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def pytest_sessionfinish() -> None:
    """End the Postgres that this process has started for its tests, if it has."""
    served = sys.modules.get("tests.contracts.adapters.served")
    if served is not None:
        served.ended()
