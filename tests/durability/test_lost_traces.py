"""What makes today's monitors lose traces for good loses none here: a burst, late traces, a worker that was down.

`benchmarks/runs/lost_traces.py` shows the same beside MLflow's online scoring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.hourly import Hourly, burst, late, steady, wanted
from tests.langfuse.fake_server.server import run_fake_langfuse


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Hourly]:
    with run_fake_langfuse() as server:
        yield Hourly(tmp_path / "project", server)


def test_a_burst_and_two_metrics_about_different_traces(monitor: Hourly) -> None:
    traffic = burst(hours=2, size=1000)
    monitor.send(traffic)
    monitor.run_at([1, 2, 3])
    assert monitor.scores() == Counter(wanted(traffic))


def test_traces_that_come_ten_minutes_late(monitor: Hourly) -> None:
    traffic = late(hours=2)
    monitor.send(traffic)
    monitor.run_at([1, 2, 3])
    assert monitor.scores() == Counter(wanted(traffic))


@pytest.mark.parametrize("down", [(2, 3, 4), (1, 2, 3)])
def test_a_worker_that_is_down_for_three_of_four_hours(monitor: Hourly, down: tuple[int, ...]) -> None:
    """Also when it has never run before: the first run reads its plain window, so that its hour is what counts."""
    traffic = steady(hours=5)
    monitor.send(traffic)
    hours = [hour for hour in range(1, 7) if hour not in down]
    reports = monitor.run_at(hours)
    first = 3600 * (hours[0] - 2)  # an hour, and an hour of look-back
    assert monitor.scores() == Counter(wanted([each for each in traffic if each.begins >= first]))
    told = [note for report in reports for note in report.notes if "to leave no gap" in note]
    assert len(told) == (1 if down[0] > 1 else 0)


def test_a_job_that_starts_late_and_runs_that_fail_leave_no_gap(monitor: Hourly) -> None:
    """The pause between two runs is longer than the window and its look-back, by a little and by a lot."""
    traffic = steady(hours=9)
    monitor.send(traffic)
    monitor.run_at([1, 3.3])
    monitor.server.plan.mode = "legacy"  # the v2 reads are gone
    monitor.server.plan.secret_key = "sk-other"
    with pytest.raises(Exception, match="public_key, secret_key"):
        monitor.run_at([5])
    monitor.server.plan.mode, monitor.server.plan.secret_key = "events_only", "sk-lf-4567-secret"
    monitor.run_at([7.7, 10])
    assert monitor.scores() == Counter(wanted(traffic))
