"""Random faults of all kinds at once, from reading to publishing: after enough runs nothing is lost, nothing double."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.durability.faulty import Faulty, shown, wrong
from tests.langfuse.fake_server.server import run_fake_langfuse


@pytest.mark.slow
@settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate])
@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.5))
def test_nothing_is_lost_and_nothing_double_whatever_goes_wrong(seed: int, share: float) -> None:
    """Every score once in the database, once in Langfuse, unless the server refused it for good, which is told."""
    with run_fake_langfuse() as server, tempfile.TemporaryDirectory() as folder:
        day = Faulty(Path(folder) / "project", server, seed, share)
        runs = day.runs(5)
        assert server.statuses[200] < sum(server.statuses.values()), "no fault was met"
        assert wrong(day) == []
        assert 10 < day.refused().total() < 100
        assert shown(runs[-2:]) == {"nothing_new": 2}
