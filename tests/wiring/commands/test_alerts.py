"""Alerts: a real change opens one, its end closes it, people can act on it, and nothing else is told."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.slack.fake_slack import TOKEN, fake_slack
from tests.wiring.project import Project

CONFIG = """\
name: m
source: {type: file, path: items.jsonl, window: all, timestamp_field: source_timestamp}
metrics_config:
  Helpful: {class: exact_match, threshold: 0.5}
  Short: {class: length, max_chars: 20}
"""
ALERTS = "alerts: {fail: true, rules: [{metric: Helpful, direction: falls, effect: 10%, baseline: 5d}]}\n"
START = datetime(2026, 11, 10, tzinfo=UTC)
WORSE, BETTER = 8 * 24, 9 * 24  # hours from which and until which most answers are wrong


def usual(hour: int) -> float:
    return 0.9


def dip(hour: int) -> float:
    return 0.3 if WORSE <= hour < BETTER else 0.9


class Traffic(Project):
    """A project whose items come by the hour."""

    def __init__(self, folder: Path, rate: Callable[[int], float] = dip, alerts: str = ALERTS) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.write("m.yaml", CONFIG + alerts)
        rng = random.Random(5)
        self.rows = [
            json.dumps(
                {
                    "id": f"{hour}-{n}",
                    "source_timestamp": (START + timedelta(hours=hour, minutes=7 * n)).isoformat(),
                    "actual_output": "a" if rng.random() < rate(hour) else "b",
                    "expected_output": "a",
                }
            )
            for hour in range(11 * 24)
            for n in range(8)
        ]

    def run_until(self, hour: int, code: int = 0) -> dict[str, Any]:
        """A run after that hour; its report."""
        self.write("items.jsonl", "\n".join(self.rows[: 8 * hour]) + "\n")
        done = self.run("m.yaml", "--json", "--quiet")
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("alerts", "m.yaml", "--json").stdout)["alerts"]
        return found


def test_a_drop_opens_an_alert_and_its_end_closes_it(tmp_path: Path) -> None:
    """Within hours, once, with exit code 5 where asked for; when the rate is back, nothing is open."""
    traffic = Traffic(tmp_path)
    assert traffic.run_until(WORSE)["alerts"] == []
    (alert,) = traffic.run_until(WORSE + 8, code=5)["alerts"]
    assert (alert["metric"], alert["direction"], alert["state"]) == ("Helpful", "falls", "open")
    assert alert["expected"] == pytest.approx(0.9, abs=0.05) and alert["found"] < 0.7
    again = traffic.run_until(WORSE + 16, code=5)["alerts"]
    assert [each["id"] for each in again] == [alert["id"]]
    traffic.write("items.jsonl", "\n".join(traffic.rows[: 8 * (WORSE + 17)]) + "\n")
    shown = " ".join(traffic.run("m.yaml").stdout.split())
    assert re.search(r"alert: Helpful falls: [234]", shown) and alert["id"] in shown
    assert traffic.run_until(11 * 24)["alerts"] == []
    (closed,) = traffic.alerts()
    assert closed["state"] == "resolved" and closed["closed_at"] > alert["opened_at"]
    assert "No alert is open." in traffic.run("alerts", "m.yaml").stdout


def test_slack_hears_of_an_alert_in_one_message(tmp_path: Path) -> None:
    """One message at opening, edited as the alert goes on, and "resolved" in its thread when it ends."""
    with fake_slack() as slack:
        entry = f"notify: [{{type: slack, token: {TOKEN}, channel: C1, base_url: '{slack.api}', on: [alerts]}}]\n"
        traffic = Traffic(tmp_path, alerts=ALERTS + entry)
        traffic.run_until(WORSE)
        assert slack.messages() == []
        traffic.run_until(WORSE + 8, code=5)
        (opened,) = slack.messages()
        assert "Helpful falls" in opened["text"]
        traffic.run_until(11 * 24)
        (edited,) = slack.messages()
        replies = slack.messages(thread=edited["ts"])
    assert edited["ts"] == opened["ts"] and "has ended" in edited["text"]
    assert "has ended" in replies[-1]["text"]


def test_nothing_is_told_of_a_process_that_stays(tmp_path: Path) -> None:
    """Eleven days without a change open no alert."""
    traffic = Traffic(tmp_path, usual)
    assert traffic.run_until(11 * 24)["alerts"] == [] and traffic.alerts() == []
    shown = traffic.run("alerts", "m.yaml").stdout
    assert re.search(r"Helpful +quiet +\d+ %", shown)


def test_many_runs_find_what_one_run_finds(tmp_path: Path) -> None:
    """Each hour is taken once, whatever runs it comes by: the alerts are the same to the last digit."""
    one, many = Traffic(tmp_path / "one"), Traffic(tmp_path / "many")
    many.run_until(6 * 24)  # the baseline is settled: these are days of the past
    one.run_until(6 * 24)
    one.run_until(10 * 24)
    for hour in range(6 * 24 + 12, 10 * 24 + 1, 12):
        many.run_until(hour, code=5 if WORSE + 4 <= hour <= BETTER else 0)
    assert one.alerts() == many.alerts() and one.alerts()


def test_people_decide(tmp_path: Path) -> None:
    """Acknowledge keeps it open and says who; mute hides it from a run; resolve takes what is now as usual."""
    traffic = Traffic(tmp_path, lambda hour: 0.3 if hour >= WORSE else 0.9)
    (alert,) = traffic.run_until(WORSE + 12, code=5)["alerts"]
    acted = traffic.run("alerts", "m.yaml", "ack", alert["id"][:4], "--owner", "ada", "--reason", "looking")
    assert acted.returncode == 0 and acted.stdout.strip().endswith(": acknowledged")
    assert "(acknowledged by ada: looking)" in traffic.run("alerts", "m.yaml").stdout
    assert traffic.run("alerts", "m.yaml", "mute", "Helpful", "--until", "2d", "--owner", "ada").returncode == 0
    assert traffic.run_until(WORSE + 14)["alerts"] == []
    assert "Helpful is muted until" in traffic.run("alerts", "m.yaml").stdout
    assert traffic.run("alerts", "m.yaml", "resolve", alert["id"], "--reason", "new prompt").returncode == 0
    (closed,) = traffic.alerts()
    assert (closed["state"], closed["reason"]) == ("resolved", "new prompt")
    assert "not enough data" in traffic.run("alerts", "m.yaml").stdout
    assert traffic.run_until(11 * 24)["alerts"] == []  # by what was usual before, it would open again
    assert [each["state"] for each in traffic.alerts()] == ["resolved"]


def test_another_threshold_is_no_change_of_the_application(tmp_path: Path) -> None:
    """A metric whose threshold was changed gets a new baseline, instead of an alert that it fell."""
    traffic = Traffic(tmp_path, usual)
    traffic.run_until(6 * 24)
    traffic.write("m.yaml", CONFIG.replace("threshold: 0.5}\n  Short", "threshold: 1.5}\n  Short") + ALERTS)
    assert traffic.run_until(10 * 24)["alerts"] == []
    assert "not enough data" in traffic.run("alerts", "m.yaml").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ack", "nope"), "expected the id of an open alert; open are: none"),
        (("show", "nope"), "alert 'nope' is not known"),
        (("mute", "Helpfull"), "unknown metric 'Helpfull'"),
        (("mute", "Helpful", "--until", "soon"), "expected minutes, hours or days, such as 30m"),
        (("resolve",), "expected an id"),
    ],
)
def test_mistakes_at_the_command_are_named(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2 with what was expected; nothing changes."""
    traffic = Traffic(tmp_path)
    traffic.run_until(24)
    done = traffic.run("alerts", "m.yaml", *arguments)
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.parametrize(
    ("alerts", "message"),
    [
        ("[{metric: Helpfull}]", r"m.yaml:6 +alerts: an alert for an unknown metric 'Helpfull'.* 'Helpful'\?"),
        ("{rules: []}", "alerts.rules"),
        (
            "{rules: [{metric: Helpful}], false_alarm_budget: 0 per 30d}",
            "both above 0, such as '0.1 per 30d', found '0 ",
        ),
        ("[{metric: Helpful, direction: down}]", "rises.*falls.*moves"),
        ("[{metric: Helpful}, {metric: Helpful}]", "'Helpful' has several rules"),
        ("[{metric: Helpful, effect: 0%}]", "greater than 0"),
        ("[{metric: Helpful, baseline: 1d}]", "greater than or equal to 2"),
        ("[{metric: Helpful, basline: 7d}]", "unknown key 'basline'.*Did you mean 'baseline'"),
    ],
)
def test_mistakes_in_alerts_stop_the_run(tmp_path: Path, alerts: str, message: str) -> None:
    """Exit code 2 with the place, what was found and what was expected."""
    done = Traffic(tmp_path, alerts=f"alerts: {alerts}\n").run("m.yaml")
    assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
