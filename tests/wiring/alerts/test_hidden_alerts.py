"""What hides alerts (mutes, inhibition, maintenance) hides them visibly and for a time, and then they speak again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.core.clock import utc_now
from tests.slack.fake_slack import TOKEN, FakeSlack, fake_slack
from tests.wiring.alerts.service import Service

DROP = 9 * 24
RULES = "[{metric: Helpful, direction: falls}, {metric: Short, direction: falls}]"


def falls(hour: int) -> float:
    return 0.2 if hour >= DROP else 0.9


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as found:
        yield found


class Told(Service):
    """A service whose alerts are told in a channel, and where the present is twelve hours after the drop."""

    def __init__(self, folder: Path, slack: FakeSlack, alerts: str, drops: tuple[str, ...] = ("Helpful",)) -> None:
        entry = f"notify: [{{type: slack, token: {TOKEN}, channel: C1, base_url: '{slack.api}', on: [alerts]}}]\n"
        super().__init__(folder, alerts, dict.fromkeys(drops, falls), entry)
        self.slack = slack
        now = utc_now().replace(minute=0, second=0, microsecond=0)
        self.start = now - timedelta(hours=DROP + 12)
        self.serve(range(DROP + 40))

    def titles(self) -> list[str]:
        return [each["text"].partition("\n")[0] for each in self.slack.messages()]

    def replies(self) -> list[str]:
        (message,) = self.slack.messages()
        return [each["text"].partition("\n")[0] for each in self.slack.messages(thread=message["ts"])]


def test_what_opened_under_a_mute_is_told_when_it_ends(tmp_path: Path, slack: FakeSlack) -> None:
    """Nobody hears of it meanwhile, but everything shows it with owner, reason and end; after the end it speaks."""
    service = Told(tmp_path, slack, RULES)
    service.run_at(DROP)
    muted = ("mute", "Helpful", "--until", "8h", "--owner", "ada", "--reason", "new judge")
    assert service.run("alerts", "m.yaml", *muted).returncode == 0
    service.run_at(DROP + 11)
    assert service.titles() == []
    shown = service.run("alerts", "m.yaml").stdout
    assert re.search(r"- Helpful falls: .* alert \w{8}\): muted until .* by ada: new judge", shown)
    assert re.search(r"Helpful is muted until .* by ada: new judge \(hides \w{8}\)", shown)
    done = service.run("m.yaml")
    assert done.returncode == 0 and "by ada: new judge" in " ".join(done.stdout.split())
    assert service.titles() == []
    service.run_at(DROP + 21)
    assert len(service.titles()) == 1 and "Helpful falls" in service.titles()[0]
    service.run_at(DROP + 22)
    assert service.replies() == []


def test_what_was_told_and_muted_speaks_again(tmp_path: Path, slack: FakeSlack) -> None:
    """In the thread of its message: it still fires. An alert that ends under its mute is told to have ended."""
    service = Told(tmp_path, slack, RULES)
    service.run_at(DROP)
    service.run_at(DROP + 11)
    assert len(service.titles()) == 1
    service.run("alerts", "m.yaml", "mute", "Helpful", "--until", "8h", "--owner", "ada")
    service.run_at(DROP + 14)
    assert service.replies() == []
    service.run_at(DROP + 21)
    assert [each.partition("m: ")[0] for each in service.replies()] == ["*:red_circle: Still open: "]


def test_a_mute_can_be_taken_back(tmp_path: Path, slack: FakeSlack) -> None:
    """`unmute`: the next run tells; a mute needs somebody who decides it."""
    service = Told(tmp_path, slack, RULES)
    service.run_at(DROP)
    nobody = service.run("alerts", "m.yaml", "mute", "Helpful", "--owner", "")
    assert nobody.returncode == 2 and "expected --owner" in nobody.stderr
    service.run("alerts", "m.yaml", "mute", "Helpful", "--owner", "ada")
    service.run_at(DROP + 11)
    assert service.run("alerts", "m.yaml", "unmute", "Helpful").returncode == 0
    service.run_at(DROP + 12)
    assert len(service.titles()) == 1


def test_an_open_alert_is_told_again_after_a_time(tmp_path: Path, slack: FakeSlack) -> None:
    """`renotify: 8h`: each eight hours once, until somebody acknowledges it."""
    service = Told(tmp_path, slack, f"{{rules: {RULES}, renotify: 8h}}")
    service.serve(range(DROP))
    for hour in (1, 6, 10, 15, 20, 24):  # silent from 6 on
        service.run_at(DROP + hour)
    assert "no data since" in service.titles()[0]
    assert sum("Still open" in each for each in service.replies()) == 2
    (alert,) = service.stored()
    service.run("alerts", "m.yaml", "ack", alert["id"], "--owner", "ada")
    service.run_at(DROP + 38)
    assert sum("Still open" in each for each in service.replies()) == 2


def test_an_alert_inhibits_others(tmp_path: Path, slack: FakeSlack) -> None:
    """The cause is told, the symptom is shown as inhibited and fails no run; when the cause is over, it is told."""
    rules = "[{metric: Short, direction: falls, inhibits: [Helpful]}, {metric: Helpful, direction: falls}]"
    service = Told(tmp_path, slack, rules, ("Helpful", "Short"))
    service.run_at(DROP)
    service.run_at(DROP + 16)
    assert len(service.titles()) == 1 and "Short falls" in service.titles()[0]
    shown = service.run("alerts", "m.yaml").stdout
    assert re.search(r"- Helpful falls: .*: inhibited by the alert of Short", shown)
    found = json.loads(service.run("m.yaml", "--json", "--quiet").stdout)
    assert [each["metric"] for each in found["alerts"]] == ["Short"]
    assert [(each["metric"], each["hidden"]["kind"]) for each in found["hidden_alerts"]] == [("Helpful", "inhibited")]
    (cause,) = [each for each in service.stored() if each["metric"] == "Short"]
    service.run("alerts", "m.yaml", "resolve", cause["id"], "--owner", "ada", "--reason", "as wanted")
    service.run_at(DROP + 18)
    assert any("Helpful falls" in each for each in service.titles())


def maintenance(start: int, end: int, service: Service) -> str:
    moments = [(service.start + timedelta(hours=hour)).isoformat() for hour in (start, end)]
    return f"maintenance: [{{from: '{moments[0]}', to: '{moments[1]}', reason: new database}}]"


def test_hours_of_maintenance_are_not_looked_at(tmp_path: Path, slack: FakeSlack) -> None:
    """A drop within a window is no alert, and neither are missing hours; a drop that goes on behind it is."""
    service = Told(tmp_path, slack, RULES)
    text = service.folder.joinpath("m.yaml").read_text()
    block = f"{{rules: {RULES}, {maintenance(DROP, DROP + 24, service)}}}"
    service.write("m.yaml", text.replace(f"alerts: {RULES}", f"alerts: {block}"))
    service.run_at(DROP)
    service.run_at(DROP + 20)
    assert service.stored() == []
    assert "maintenance until" in service.run("alerts", "m.yaml").stdout
    service.serve(range(DROP))
    service.run_at(DROP + 24)
    assert service.stored() == []
    service.serve(range(DROP + 40))
    service.run_at(DROP + 36)
    (alert,) = service.stored()
    assert alert["opened_at"] > (service.start + timedelta(hours=DROP + 24)).isoformat()


def test_nobody_is_told_in_maintenance(tmp_path: Path, slack: FakeSlack) -> None:
    """An alert of the hours before it is shown with the reason, and told when it is over."""
    service = Told(tmp_path, slack, RULES)
    text = service.folder.joinpath("m.yaml").read_text()
    block = f"{{rules: {RULES}, {maintenance(DROP + 8, DROP + 16, service)}}}"
    service.write("m.yaml", text.replace(f"alerts: {RULES}", f"alerts: {block}"))
    service.run_at(DROP)
    service.run_at(DROP + 9.5)
    assert service.titles() == []
    assert re.search(r"- Helpful falls: .*: maintenance until .*: new database", service.run("alerts", "m.yaml").stdout)
    service.run_at(DROP + 17)
    assert len(service.titles()) == 1


def test_maintenance_that_comes_again_has_a_timezone(tmp_path: Path) -> None:
    """The night of every Sunday in Berlin: hours without data are no silence then, as they are in another night."""
    window = "{cron: '0 22 * * sat', duration: 4h, timezone: Europe/Berlin}"
    service = Service(tmp_path, f"{{rules: [{{metric: Helpful}}], maintenance: [{window}]}}")
    lost = {hour + 168 * week for week in range(4) for hour in range(141, 145)}  # 21:00 UTC on Saturday and after
    hours = [hour for hour in range(28 * 24) if hour not in lost]
    service.serve([hour for hour in hours if hour < 19 * 24 - 1])
    service.run_at(19 * 24)
    service.serve([hour for hour in hours if hour < 19 * 24 + 25])
    assert service.alerts_at(19 * 24 + 26) == []
    assert service.alerts_at(19 * 24 + 31)[0]["direction"] == "no data"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("maintenance: [{from: 2026-12-01T22:00}]", "expected from and to, or cron and duration"),
        ("maintenance: [{cron: '0 2 * * *'}]", "expected from and to, or cron and duration"),
        ("maintenance: [{from: 2026-12-01, to: 2026-12-02, cron: '0 2 * * *'}]", "or cron and duration"),
        ("maintenance: [{from: 2026-12-02, to: 2026-12-01}]", "expected `to` after `from`"),
        ("maintenance: [{from: soon, to: 2026-12-01}]", "expected a time such as 2026-12-01T22:00, found 'soon'"),
        ("maintenance: [{cron: '0 0 2 * * *', duration: 1h}]", "cron with five fields"),
        ("maintenance: [{cron: '0 2 * * *', duration: 1 hour}]", "such as 30m, 8h or 2d, found '1 hour'"),
        ("maintenance: [{cron: '0 2 * * *', duration: 24h}]", "leaves no hour of a week"),
        ("maintenance: [{cron: '*/30 * * * *', duration: 5m}]", "leaves no hour of a week"),
        ("maintenance: [{cron: '0 2 * * *', duration: 1h, timezone: Europe/Berln}]", "Did you mean 'Europe/Berlin'"),
        ("maintenance: [{cron: '0 2 * * *', length: 1h}]", "unknown key 'length'"),
        ("renotify: daily", "such as 30m, 8h or 2d, found 'daily'"),
        ("rules: [{metric: Helpful, inhibits: [Shrt]}, {metric: Short}]", "not watched.*Did you mean 'Short'"),
        ("rules: [{metric: Helpful, inhibits: [Short]}, {metric: Short, inhibits: [Helpful]}]", "inhibits itself"),
    ],
)
def test_mistakes_stop_the_run(tmp_path: Path, block: str, message: str) -> None:
    """Exit code 2 with what was found and what was expected."""
    rules = "" if block.startswith("rules") else f"rules: {RULES}, "
    done = Service(tmp_path, f"{{{rules}{block}}}").run("m.yaml")
    assert done.returncode == 2 and re.search(message, " ".join(done.stderr.split())), done.stderr
