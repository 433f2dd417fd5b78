"""What holds for the whole session."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest

with suppress(ImportError):  # an environment for bridges has no Hypothesis
    from hypothesis import HealthCheck, settings

    # Other work may keep every core busy: how long an example takes is no result.
    settings.register_profile("any_load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any_load")


@pytest.fixture(autouse=True)
def _search_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that loads a project adds the project's folders to `sys.path`; the next test does not find them there."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def pytest_sessionfinish() -> None:
    """End the Postgres that this process has started for its tests, if it has."""
    served = sys.modules.get("tests.contracts.adapters.served")
    if served is not None:
        served.ended()
