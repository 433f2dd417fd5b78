"""Notifications in a channel: one message for an alert, its thread, and what happens when something fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from shared.core.errors import BadAnswer, ConfigError, RateLimited, TruelineError, Unavailable
from shared.core.ports import Notification, Notifier
from shared.core.state.sent_messages import MemorySentMessages
from shared.slack.notify import SlackNotifier, SlackNotifierParams, SlackRuntime
from tests.slack.fake_slack import TOKEN, FakeSlack, Trouble, fake_slack, limited, refused

OPENED = Notification(
    "a1",
    "Helpful fell from 97 % to 48 %",
    "opened",
    monitor="support",
    facts=(("Evidence", "1 in 400"),),
    at=datetime(2025, 12, 1, 12, tzinfo=UTC),
)
START = datetime(2025, 12, 1, 12, tzinfo=UTC).timestamp()


class MovedTime:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.passed = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds

    @property
    def runtime(self) -> SlackRuntime:
        return SlackRuntime(lambda: datetime.fromtimestamp(START + self.passed, UTC), lambda: self.passed, self.sleep)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as fake:
        yield fake


@pytest.fixture
def moved() -> MovedTime:
    return MovedTime()


def notifier(slack: FakeSlack, moved: MovedTime, sent: MemorySentMessages | None = None) -> SlackNotifier:
    params = SlackNotifierParams(token=SecretStr(TOKEN), channel="C1", base_url=slack.api)
    return SlackNotifier(params, sent, moved.runtime)


def tell(port: Notifier, *notifications: Notification) -> None:
    async def run() -> None:
        for each in notifications:
            await port.notify(each)

    asyncio.run(run())


def test_an_alert_is_one_message_edited_as_it_goes_on_with_its_news_in_the_thread(
    slack: FakeSlack, moved: MovedTime
) -> None:
    updated = replace(OPENED, state="updated", title="Helpful fell from 97 % to 51 %")
    worse = replace(OPENED, state="worsened", title="Helpful fell from 97 % to 12 %")
    tell(notifier(slack, moved), OPENED, updated, worse, replace(OPENED, state="resolved", title="Helpful is back"))
    (message,) = slack.messages()
    assert message["text"] == "*:white_check_mark: Resolved: Helpful is back*"
    assert [each["text"] for each in slack.messages(thread=message["ts"])] == [
        "*:red_circle: Worse: Helpful fell from 97 % to 12 %*",
        "*:white_check_mark: Resolved: Helpful is back*",
    ]
    assert len(slack.called("chat.update")) == 3


def test_the_same_notification_twice_says_nothing_twice(slack: FakeSlack, moved: MovedTime) -> None:
    worse = replace(OPENED, state="worsened")
    summary = Notification("run-1", "12 items scored")
    tell(notifier(slack, moved), OPENED, OPENED, worse, worse, summary, summary)
    assert len(slack.messages()) == 2
    assert len(slack.messages(thread=slack.messages()[0]["ts"])) == 1


def test_a_message_that_was_posted_though_the_connection_was_cut_is_not_posted_again(
    slack: FakeSlack, moved: MovedTime
) -> None:
    """It is found by its metadata, and edited from then on."""
    slack.fail("chat.postMessage", Trouble(cut=True, done=True))
    tell(notifier(slack, moved), OPENED, replace(OPENED, state="updated", title="now"))
    (message,) = slack.messages()
    assert message["text"] == "*:red_circle: now*"
    assert len(slack.called("chat.postMessage")) == 1


@pytest.mark.parametrize(
    "trouble", [Trouble(cut=True), Trouble(502, b""), Trouble(200, b"<html>"), refused("internal_error")]
)
def test_a_message_that_was_not_posted_is_posted_after_a_look_into_the_channel(
    slack: FakeSlack, moved: MovedTime, trouble: Trouble
) -> None:
    slack.fail("chat.postMessage", trouble)
    tell(notifier(slack, moved), OPENED)
    assert len(slack.messages()) == 1
    assert len(slack.called("conversations.history")) == 1


def test_a_process_that_was_killed_between_posting_and_storing_leaves_one_message(
    slack: FakeSlack, moved: MovedTime
) -> None:
    sent = MemorySentMessages()
    tell(notifier(slack, moved, sent), OPENED)
    (message,) = slack.messages()
    half = MemorySentMessages()
    assert half.begin("slack:C1", "a1", moved.runtime.now()) is None  # all that the killed process had stored
    tell(notifier(slack, moved, half), OPENED)
    assert [each["ts"] for each in slack.messages()] == [message["ts"]]


def test_a_reply_whose_connection_was_cut_is_looked_for_in_its_thread(slack: FakeSlack, moved: MovedTime) -> None:
    told = notifier(slack, moved)
    tell(told, OPENED)
    slack.fail("chat.postMessage", Trouble(cut=True, done=True))
    tell(told, replace(OPENED, state="worsened"))
    assert len(slack.messages(thread=slack.messages()[0]["ts"])) == 1


def test_without_any_state_the_alerts_message_is_found_in_the_channel(slack: FakeSlack, moved: MovedTime) -> None:
    tell(notifier(slack, moved), OPENED)
    tell(notifier(slack, moved), replace(OPENED, state="resolved"))
    assert len(slack.messages()) == 1


def test_a_token_that_may_not_read_posts_again_and_says_so(
    slack: FakeSlack, moved: MovedTime, caplog: pytest.LogCaptureFixture
) -> None:
    """An alert that comes twice is better than one that is lost."""
    slack.scopes = ("chat:write",)
    slack.fail("chat.postMessage", Trouble(502, b""))
    tell(notifier(slack, moved), OPENED)
    assert len(slack.messages()) == 1
    assert "may be posted twice" in caplog.text and "channels:history" in caplog.text


def test_a_message_that_somebody_deleted_is_posted_anew(slack: FakeSlack, moved: MovedTime) -> None:
    told = notifier(slack, moved)
    tell(told, OPENED)
    slack.channels["C1"].clear()
    tell(told, replace(OPENED, state="updated", title="still"))
    assert [each["text"] for each in slack.messages()] == ["*:red_circle: still*"]


def test_messages_of_a_channel_come_a_second_apart(slack: FakeSlack, moved: MovedTime) -> None:
    """Also from two notifiers of one process."""
    tell(notifier(slack, moved), *(Notification(f"n{n}", "x") for n in range(3)))
    assert moved.slept == [1.0, 1.0]
    first, second = notifier(slack, moved), notifier(slack, moved)
    tell(first, Notification("m1", "x"))
    tell(second, Notification("m2", "x"))
    assert moved.passed >= 3.0


def test_it_waits_as_long_as_slack_asks(slack: FakeSlack, moved: MovedTime) -> None:
    slack.fail("chat.postMessage", limited("7"), limited("2.5"))
    tell(notifier(slack, moved), OPENED)
    assert moved.slept[:2] == [7.0, 2.5]
    assert len(slack.messages()) == 1


def test_nothing_in_a_message_calls_anybody(slack: FakeSlack, moved: MovedTime) -> None:
    evil = "<!channel> <@U1> <!here> <#C9> <!subteam^S1> <http://evil.example|this> &"
    links = ((evil, "https://app.example/a?b=1&c=<!channel>|x"), ("odd", "javascript:<!channel>"))
    tell(notifier(slack, moved), Notification("n", evil, "opened", evil, evil, evil, ((evil, evil),), links))
    said = repr(slack.called("chat.postMessage"))
    assert "<!channel>" not in said and "<@" not in said and "<#" not in said and "<!" not in said
    assert said.count("<") == 1 and "<https://app.example/a?b=1&amp;c=%3C!channel%3E%7Cx|&lt;!channel" in said
    (given,) = slack.called("chat.postMessage")
    assert (given["unfurl_links"], given["unfurl_media"]) == (False, False)


def test_a_notification_longer_than_every_limit_arrives_whole(slack: FakeSlack, moved: MovedTime) -> None:
    """Split over the message and its thread: nothing is cut off."""
    words = [f"w{n}&<" for n in range(9000)]
    facts = tuple((f"fact {n}", "v" * 1500 if n % 7 else "w" * 5000) for n in range(60))
    long = Notification("n", "title " * 700, "opened", text=" ".join(words), facts=facts)
    tell(notifier(slack, moved), long)
    (head,) = slack.messages()
    sent = [head, *slack.messages(thread=head["ts"])]
    assert len(sent) > 5
    blocks = [block for each in sent for block in each["blocks"]]
    parts = [part for block in blocks for part in [block.get("text"), *block.get("fields", ())] if part]
    said = "".join(part["text"] for part in parts)
    said = said.replace("&lt;", "<").replace("&amp;", "&")
    assert all(word in said for word in words)
    assert said.count("v") >= 1500 * sum(1 for n in range(60) if n % 7)
    assert said.count("title ") >= 700


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (limited("16"), RateLimited),
        (Trouble(503, b"<html>"), Unavailable),
        (Trouble(200, b"<html>"), BadAnswer),
        (refused("channel_not_found"), ConfigError),
        (refused("invalid_auth"), ConfigError),
        (Trouble(404, b"[]"), ConfigError),
    ],
)
def test_what_fails_is_said_without_the_token(
    slack: FakeSlack, moved: MovedTime, trouble: Trouble, error: type[TruelineError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    slack.fail("chat.postMessage", *[trouble] * 3)
    with pytest.raises(error) as caught:
        tell(notifier(slack, moved), OPENED)
    assert TOKEN not in str(caught.value) + caplog.text + repr(
        SlackNotifierParams(token=SecretStr(TOKEN), channel="C1")
    )


def test_the_event_loop_is_free_while_slack_is_slow(slack: FakeSlack) -> None:
    """The notifier waits in a thread; others go on meanwhile."""
    slack.fail("chat.postMessage", limited("0.3"))
    params = SlackNotifierParams(token=SecretStr(TOKEN), channel="C1", base_url=slack.api)

    async def run() -> int:
        ticks = 0
        told = asyncio.ensure_future(SlackNotifier(params).notify(OPENED))
        while not told.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await told
        return ticks

    assert asyncio.run(run()) > 3
