"""A monitor of Slack channels, through the command."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.slack.fake_slack import TOKEN, FakeSlack, fake_slack, refused
from tests.wiring.project import Project

BOT = {"bot_id": "B9", "bot_profile": {"name": "Helper"}}


def ts(minutes_ago: float) -> str:
    return f"{time.time() - 60 * minutes_ago:.6f}"


def project(folder: Path, slack: FakeSlack) -> Project:
    made = Project(folder)
    made.write(
        "m.yaml",
        f"name: talk\nsource: {{type: slack, slack_token: {TOKEN}, channel_ids: [C1], base_url: '{slack.api}',"
        " requests_per_minute: 1200, hours_back: 1}\n"
        "scored_store: {policy: content}\nmetrics_config:\n  Short: {class: length, max_chars: 20}\n",
    )
    return made


def counts(made: Project) -> dict[str, int]:
    done = made.run("m.yaml", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)["counts"]
    return found


def test_a_thread_is_scored_once_and_again_when_it_gets_a_reply(tmp_path: Path) -> None:
    with fake_slack() as slack:
        made = project(tmp_path, slack)
        root = slack.add("Is it covered?", "C1", ts(300), user="U1")
        slack.add("Yes.", "C1", ts(20), thread_ts=root, **BOT)
        assert counts(made)["scored"] == 1
        assert counts(made)["scored"] == 0
        assert len(slack.called("conversations.replies")) == 1
        slack.add("It is, by section 4.", "C1", ts(1), thread_ts=root, **BOT)
        assert counts(made)["scored"] == 1


def test_a_thread_whose_replies_failed_is_scored_by_the_next_run_whole(tmp_path: Path) -> None:
    """It is not scored by half, and not lost, though the run ended well."""
    with fake_slack() as slack:
        made = project(tmp_path, slack)
        root = slack.add("Is it covered?", "C1", ts(50), user="U1")
        slack.add("Yes.", "C1", ts(40), thread_ts=root, **BOT)
        slack.fail("conversations.replies", refused("internal_oops"))
        first = made.run("m.yaml")
        assert first.returncode == 0
        assert "internal_oops" in first.stdout and "0 items" not in first.stdout
        assert counts(made)["scored"] == 1


def test_check_names_the_missing_scope_and_no_token(tmp_path: Path) -> None:
    with fake_slack() as slack:
        made = project(tmp_path, slack)
        good = made.run("check", "m.yaml", "--connect")
        assert good.returncode == 0 and "later ones ask only for threads that" in " ".join(good.stdout.split())
        slack.scopes = ("channels:read",)
        bad = made.run("check", "m.yaml", "--connect")
    assert bad.returncode != 0
    assert "channels:history" in bad.stdout + bad.stderr
    assert TOKEN not in bad.stdout + bad.stderr + good.stdout
