"""The client: where slack_sdk's own retries fall short, each seen through the real package, and what errors say."""

from __future__ import annotations

import logging
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from shared.core.errors import BadAnswer, RateLimited, TruelineError, Unavailable
from shared.slack.client import SlackClient, SlackConnection, SlackRefused
from shared.slack.pace import Pace
from shared.slack.retry_handler import SlackRetryLimits
from tests.slack.fake_slack import TOKEN, FakeSlack, Trouble, fake_slack, limited, refused

POST = {"channel": "C1", "text": "hello"}


def client(slack: FakeSlack, slept: list[float] | None = None, pace: Pace | None = None) -> SlackClient:
    pauses: list[float] = [] if slept is None else slept
    limits = SlackRetryLimits(tries=3, max_wait=15.0, sleep=pauses.append)
    return SlackClient(SlackConnection(SecretStr(TOKEN), slack.api, 5.0, limits), pace or Pace(0.0))


def test_a_post_whose_connection_is_cut_is_made_once() -> None:
    """The handler that slack_sdk has by default makes it again, and the channel holds two messages."""
    with fake_slack() as slack:
        slack.fail("chat.postMessage", Trouble(cut=True, done=True))
        with pytest.raises(Unavailable):
            client(slack).write("chat.postMessage", POST)
        assert [each["text"] for each in slack.messages()] == ["hello"]
        assert len(slack.called("chat.postMessage")) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(cut=True),
        Trouble(502, b"<html>"),
        Trouble(503, b""),
        Trouble(200, b"<html>Bad gateway</html>", {"content-type": "text/html"}),
        Trouble(200, b'{"ok": tr'),
        Trouble(200, b""),
        refused("ratelimited"),
        refused("internal_error"),
        limited("1.5"),
        limited("soon"),
    ],
)
def test_a_read_is_repeated_after_what_may_pass(trouble: Trouble) -> None:
    with fake_slack() as slack:
        slack.add("there")
        slack.fail("conversations.history", trouble, trouble)
        answer = client(slack).read("conversations.history", channel="C1")
        assert [each["text"] for each in answer["messages"]] == ["there"]
        assert len(slack.called("conversations.history")) == 3


def test_it_waits_as_long_as_slack_asks_however_that_is_written() -> None:
    with fake_slack() as slack:
        slept: list[float] = []
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
        slack.fail("chat.postMessage", limited("1.5"), limited(date))
        client(slack, slept).write("chat.postMessage", POST)
        assert slept[0] == 1.5 and 5.0 < slept[1] <= 9.0
        assert len(slack.messages()) == 1


@pytest.mark.parametrize(
    ("trouble", "error", "said"),
    [
        (limited("16"), RateLimited, "to wait 16 s"),
        (refused("ratelimited"), RateLimited, "fewer requests"),
        (Trouble(502, b"<html>"), Unavailable, "502"),
        (Trouble(200, b"<html>"), BadAnswer, "something else than JSON"),
        (Trouble(200, b"[1]"), BadAnswer, "something else than JSON"),
        (Trouble(200, b"\xff\xfe"), BadAnswer, "something else than JSON"),
        (Trouble(404, b"<html>"), SlackRefused, "404"),
        (refused("channel_not_found"), SlackRefused, "give the channel's id"),
        (refused("not_in_channel"), SlackRefused, "invite it"),
        (
            refused("missing_scope", needed="channels:history", provided="chat:write"),
            SlackRefused,
            "lacks channels:history .it has chat:write.",
        ),
    ],
)
def test_what_fails_is_an_error_that_says_what_to_do(
    trouble: Trouble, error: type[TruelineError], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Never a bare error of the package, and never with the token, not even where everything is logged."""
    caplog.set_level(logging.DEBUG)
    with fake_slack() as slack:
        slack.fail("conversations.history", *[trouble] * 3)
        with pytest.raises(error, match=said) as caught:
            client(slack).read("conversations.history", channel="C1")
    assert TOKEN not in str(caught.value) and TOKEN not in caplog.text


def test_a_post_is_repeated_where_nobody_listened() -> None:
    """Nothing was sent, so nothing can be there twice."""
    with fake_slack() as slack:
        slept: list[float] = []
        talker = client(slack, slept)
    with pytest.raises(Unavailable, match=r"cannot be reached for chat\.postMessage: ConnectionRefusedError"):
        talker.write("chat.postMessage", POST)
    assert len(slept) == 2


def test_a_post_with_blocks_warns_of_nothing() -> None:
    with fake_slack() as slack, warnings.catch_warnings():
        warnings.simplefilter("error")
        client(slack).write("chat.postMessage", POST | {"blocks": []})


def test_pages_are_followed_to_the_end() -> None:
    with fake_slack() as slack:
        for n in range(40):
            slack.add(f"m{n}")
        found = [each for page in client(slack).pages("conversations.history", channel="C1", limit=15)
                 for each in page["messages"]]  # fmt: skip
        assert len(found) == 40
        assert ["cursor" in each for each in slack.called("conversations.history")] == [False, True, True]


def test_requests_come_slower_once_slack_has_asked_for_fewer() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        now[0] += seconds

    pace = Pace(2.0, lambda: now[0], sleep)
    with fake_slack() as slack:
        talker = client(slack, pace=pace)
        for _ in range(2):
            talker.read("conversations.history", channel="C1")
        slack.fail("conversations.history", limited("1"))
        for _ in range(2):
            talker.read("conversations.history", channel="C1")
    assert slept[:2] == [2.0, 2.0]
    assert slept[2] == pytest.approx(4.0)
