"""Silence is an alarm: of a service that had traffic until lately, by the gaps that are usual, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.errors import TruelineError
from tests.wiring.alerts.service import Service

RULES = "[{metric: Helpful, direction: falls}]"
WEEK = 7 * 24


def office(until: int) -> list[int]:
    """Weekdays from eight to six."""
    return [hour for hour in range(until) if hour // 24 % 7 < 5 and 8 <= hour % 24 < 18]


def test_a_service_that_falls_silent_is_an_alert(tmp_path: Path) -> None:
    """Within hours, once, shown as "no data since"; it ends when data comes."""
    service = Service(tmp_path, RULES)
    service.serve(range(9 * 24))
    assert service.alerts_at(9 * 24 + 1.5) == []
    assert service.alerts_at(9 * 24 + 2.5) == []
    (alert,) = service.alerts_at(9 * 24 + 5)
    assert (alert["metric"], alert["direction"], alert["state"]) == ("Helpful", "no data", "open")
    assert alert["since"] == "2026-11-11T00:00:00+00:00"
    shown = service.run("alerts", "m.yaml").stdout
    assert "! Helpful: no data since 2026-11-11 00:00 UTC" in shown and "no data since" in shown.split("metric", 1)[1]
    assert [each["id"] for each in service.alerts_at(9 * 24 + 20)] == [alert["id"]]
    service.serve([*range(9 * 24), *range(9 * 24 + 20, 9 * 24 + 22)])
    (ended,) = service.alerts_at(9 * 24 + 23.5)
    assert (ended["id"], ended["state"]) == (alert["id"], "resolved")
    service.serve([*range(9 * 24), *range(9 * 24 + 20, 9 * 24 + 22)])
    again = service.alerts_at(9 * 24 + 40)[1]
    assert again["state"] == "open" and again["since"] == "2026-11-11T22:00:00+00:00"


def test_nights_and_weekends_are_no_silence(tmp_path: Path) -> None:
    """Office hours, run for two weeks: nothing. A Thursday without traffic is noticed before noon."""
    service = Service(tmp_path, RULES)
    for day in range(7, 17):
        service.serve(office(day * 24))
        assert service.alerts_at(day * 24 + 1.5) == []
    service.serve(office(17 * 24))
    assert service.alerts_at(17 * 24 + 9.5) == []
    (alert,) = service.alerts_at(17 * 24 + 13)
    assert alert["direction"] == "no data" and alert["since"] == "2026-11-18T18:00:00+00:00"


def test_sparse_traffic_is_given_longer_gaps(tmp_path: Path) -> None:
    """Where every fifth hour has data, as it happens, fifteen hours without are usual and three days are not."""
    hours = [hour for hour in range(2 * WEEK) if (hour * 2654435761 >> 7) % 5 == 0]
    service = Service(tmp_path, RULES)
    service.serve(hours)
    assert service.alerts_at(hours[-1] + 3) == []
    assert service.alerts_at(hours[-1] + 17) == []
    (alert,) = service.alerts_at(hours[-1] + 80)
    assert alert["direction"] == "no data"


def test_a_failed_run_is_not_no_data(tmp_path: Path) -> None:
    """While the source cannot be read, nobody knows; when it can, the hours between are there."""
    service = Service(tmp_path, RULES)
    service.serve(range(9 * 24))
    assert service.alerts_at(9 * 24 + 1.5) == []
    service.folder.joinpath("items.jsonl").unlink()
    for hour in (5, 12, 20):
        with pytest.raises(TruelineError):
            service.run_at(9 * 24 + hour)
        assert service.stored() == []
    service.serve(range(9 * 24 + 30))
    assert service.alerts_at(9 * 24 + 31) == []


def test_a_run_whose_scores_failed_is_not_no_data(tmp_path: Path) -> None:
    """A metric that fails on every item leaves hours without scores, and is told as a failure, not as silence."""
    service = Service(tmp_path, RULES)
    service.serve(range(9 * 24))
    service.run_at(9 * 24 + 1.5)
    service.write("items.jsonl", service.folder.joinpath("items.jsonl").read_text() + "{broken\n" * 2000)
    assert service.run_at(9 * 24 + 12).report.status in ("failed", "too_many_failures")
    assert service.stored() == []


def test_silence_ends_no_alert(tmp_path: Path) -> None:
    """A drop that is followed by silence stays open beside it, whatever time goes by."""
    service = Service(tmp_path, RULES, {"Helpful": lambda hour: 0.2 if hour >= 9 * 24 else 0.9})
    service.serve(range(9 * 24 + 12))
    (drop,) = service.alerts_at(9 * 24 + 13.5)
    assert drop["direction"] == "falls"
    found = service.alerts_at(12 * 24)
    assert [(each["direction"], each["state"]) for each in found] == [("falls", "open"), ("no data", "open")]


def test_all_metrics_fall_silent_as_one(tmp_path: Path) -> None:
    """A service that is down is one alert, not one for each metric."""
    service = Service(tmp_path, "[{metric: Helpful}, {metric: Short}]")
    service.serve(range(9 * 24))
    service.run_at(9 * 24 + 1.5)
    (alert,) = service.alerts_at(9 * 24 + 9)
    assert alert["metric"] == "all metrics"


def test_what_was_never_live_does_not_fall_silent(tmp_path: Path) -> None:
    """Files of the past, run today, and more of them: no alert, for nothing was there to fall silent."""
    service = Service(tmp_path, RULES)
    service.serve(range(24))
    assert service.alerts_at(60 * 24) == []
    service.serve(range(9 * 24))
    assert service.alerts_at(60 * 24 + 1) == []
    assert "no data" not in service.run("alerts", "m.yaml").stdout


def test_silence_may_be_left_out(tmp_path: Path) -> None:
    """`silent_gaps: 0`."""
    service = Service(tmp_path, f"{{rules: {RULES}, silent_gaps: 0}}")
    service.serve(range(9 * 24))
    service.run_at(9 * 24 + 1.5)
    assert service.alerts_at(11 * 24) == []


def test_a_resolved_silence_stays_resolved(tmp_path: Path) -> None:
    """Who says that it is known is believed until data comes; the baseline is kept."""
    service = Service(tmp_path, RULES)
    service.serve(range(9 * 24))
    service.run_at(9 * 24 + 1.5)
    (alert,) = service.alerts_at(9 * 24 + 9)
    assert service.run("alerts", "m.yaml", "resolve", alert["id"], "--reason", "switched off").returncode == 0
    (kept,) = service.alerts_at(9 * 24 + 19)
    assert (kept["state"], kept["reason"]) == ("resolved", "switched off")
    assert "not enough data" not in service.run("alerts", "m.yaml").stdout
