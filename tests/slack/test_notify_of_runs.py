"""`notify:`: who is told how a run ended, through the command and a fake Slack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.serving.servers import listening
from tests.slack.fake_slack import TOKEN, Trouble, fake_slack
from tests.wiring.project import CONFIG, Project

GATE = "gates: [{metric: Exact, min: 0.9}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def slack_entry(api: str, more: str = "") -> str:
    return f"  - {{type: slack, token: {TOKEN}, channel: C1, base_url: '{api}'{more}}}\n"


def test_a_run_that_missed_its_gate_is_told_to_slack_and_to_an_address(project: Project) -> None:
    """And one that did not is told only to who asked for every run."""
    with fake_slack() as slack, listening() as app:
        hook = f"  - {{type: webhook, url: '{app.url}', secret: sixteen-letters-or-more, on: [runs]}}\n"
        project.write("m.yaml", CONFIG + GATE + "notify:\n" + slack_entry(slack.api) + hook)
        assert project.run("m.yaml").returncode == 5
        project.items(9)
        project.write("m.yaml", CONFIG + "notify:\n" + slack_entry(slack.api) + hook)
        assert project.run("m.yaml").returncode == 0
        (message,) = slack.messages()
        assert message["text"].startswith("*cli: ")
        assert "Exact" in message["text"] and "8 items scored" in message["text"]
        assert "Exact" in json.dumps(message["blocks"])
        assert [each.json["event"] for each in app.heard] == ["message", "message"]


def test_a_run_that_could_not_read_its_source_is_told(project: Project) -> None:
    """There is no report of such a run, and the people who wait for it hear of it nevertheless."""
    with fake_slack() as slack:
        project.write("m.yaml", CONFIG.replace("items.jsonl", "gone.jsonl") + "notify:\n" + slack_entry(slack.api))
        done = project.run("m.yaml")
        assert done.returncode == 1
        (message,) = slack.messages()
    assert message["text"].startswith("*cli: the run failed*") and "gone.jsonl" in message["text"]


def test_a_notification_that_fails_fails_no_run(project: Project) -> None:
    """The warning names what to do, and shows no token."""
    with fake_slack() as slack:
        slack.scopes = ()
        project.write("m.yaml", CONFIG + "notify:\n" + slack_entry(slack.api, ", on: [runs]"))
        done = project.run("m.yaml")
    assert done.returncode == 0
    assert "chat:write" in done.stderr and TOKEN not in done.stderr + done.stdout


def test_what_traces_say_calls_nobody_and_what_is_secret_stays(project: Project) -> None:
    with fake_slack() as slack:
        slack.fail("chat.postMessage", Trouble(502, b""))
        text = CONFIG.replace("Exact:", '"<!channel>":') + "notify:\n" + slack_entry(slack.api, ", on: [runs]")
        project.write("m.yaml", text)
        assert project.run("m.yaml").returncode == 0
        said = json.dumps(slack.messages())
    assert "<!channel>" not in said and "&lt;!channel&gt;" in said and TOKEN not in said


def test_check_says_what_the_token_may_not_and_posts_nothing(project: Project) -> None:
    with fake_slack() as slack:
        project.write("m.yaml", CONFIG + "notify:\n" + slack_entry(slack.api))
        good = project.run("check", "m.yaml", "--connect")
        slack.scopes = ("chat:write",)
        blind = project.run("check", "m.yaml", "--connect")
        slack.scopes = ("users:read",)
        bad = project.run("check", "m.yaml", "--connect")
        assert slack.messages() == []
    assert good.returncode == 0 and "notify 'slack': workspace Acme as trueline, channel C1" in good.stdout
    assert blind.returncode == 0 and "may be posted twice" in blind.stdout
    assert bad.returncode == 1 and "lacks the scope chat:write" in bad.stderr and TOKEN not in bad.stderr


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{type: slak, channel: C1}", "Did you mean 'slack'"),
        ("{type: slack, channel: C1}", r"notify[0].token"),
        ("{type: slack, token: x, channel: C1, on: [always]}", "notify[0].on[0]"),
        ("{type: webhook, url: 'ftp://x', secret: sixteen-letters-or-more}", "expected an address"),
        ("{type: webhook, url: 'http://x', secret: short}", "notify[0].secret"),
    ],
)
def test_a_mistake_is_found_before_the_run(project: Project, entry: str, said: str) -> None:
    project.write("m.yaml", CONFIG + f"notify:\n  - {entry}\n")
    done = project.run("m.yaml")
    assert done.returncode == 2
    assert said in done.stderr
