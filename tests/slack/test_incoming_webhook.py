"""Notifications by an incoming webhook, which tells no ts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from shared.core.errors import BadAnswer, ConfigError, RateLimited, TruelineError, Unavailable
from shared.core.ports import Notification, Notifier
from shared.slack.incoming_webhook import SlackWebhookNotifier, SlackWebhookParams
from shared.slack.notify import SlackRuntime
from tests.slack.fake_slack import FakeSlack, Trouble, fake_slack

OPENED = Notification("a1", "Helpful <!channel> fell", "opened")


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as fake:
        yield fake


def tell(slack: FakeSlack, *notifications: Notification) -> list[float]:
    slept: list[float] = []
    passed = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        passed[0] += seconds

    params = SlackWebhookParams(url=SecretStr(slack.hook))
    port: Notifier = SlackWebhookNotifier(params, runtime=SlackRuntime(clock=lambda: passed[0], sleep=sleep))

    async def run() -> None:
        for each in notifications:
            await port.notify(each)

    asyncio.run(run())
    return slept


def test_an_alert_has_one_message_when_it_opens_and_one_when_it_ends(slack: FakeSlack) -> None:
    states = (OPENED, OPENED, replace(OPENED, state="updated"), replace(OPENED, state="worsened"))
    tell(slack, *states, replace(OPENED, state="resolved"), replace(OPENED, state="resolved"))
    assert [each["text"] for each in slack.hooked] == [
        "*:red_circle: Helpful &lt;!channel&gt; fell*",
        "*:white_check_mark: Resolved: Helpful &lt;!channel&gt; fell*",
    ]


def test_it_waits_as_slack_asks_and_is_slower_from_then_on(slack: FakeSlack) -> None:
    assert tell(slack, Notification("1", "x"), Notification("2", "x")) == [1.0]
    slack.hooked.clear()
    slack.fail("webhook", Trouble(429, b"rate_limited", {"retry-after": "2.5"}))
    assert tell(slack, OPENED, replace(OPENED, state="resolved")) == [2.5, 2.0]
    assert len(slack.hooked) == 2


def test_a_post_that_may_have_arrived_is_not_made_again(slack: FakeSlack) -> None:
    slack.fail("webhook", Trouble(cut=True, done=True))
    with pytest.raises(Unavailable):
        tell(slack, OPENED)
    assert len(slack.hooked) == 1


@pytest.mark.parametrize(
    ("trouble", "error", "said"),
    [
        (Trouble(404, b"no_service"), ConfigError, "no_service"),
        (Trouble(403, b"<html>"), ConfigError, "403"),
        (Trouble(410, b"channel_is_archived"), ConfigError, "channel_is_archived"),
        (Trouble(502, b"<html>"), Unavailable, "502"),
        (Trouble(200, b"<html>"), BadAnswer, "something else"),
        (Trouble(429, b"", {"retry-after": "900"}), RateLimited, "wait"),
    ],
)
def test_what_fails_is_said_without_the_address(
    slack: FakeSlack, trouble: Trouble, error: type[TruelineError], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`slack_sdk` takes any status for an answer, and its log shows the address, which is the secret."""
    caplog.set_level(logging.DEBUG)
    slack.fail("webhook", *[trouble] * 3)
    with pytest.raises(error, match=said) as caught:
        tell(slack, OPENED)
    assert "hooksecret" not in str(caught.value) + caplog.text


def test_a_notification_longer_than_every_limit_arrives_whole(slack: FakeSlack) -> None:
    tell(slack, Notification("n", "t", text="word " * 8000))
    said = "".join(block["text"]["text"] for each in slack.hooked for block in each["blocks"])
    assert said.count("word ") == 8000
