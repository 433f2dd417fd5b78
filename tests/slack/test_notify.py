"""Messages to Slack: what is sent, what is waited for, what is said when it fails."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.core.errors import BadAnswer, ConfigError, RateLimited, TruelineError, Unavailable
from shared.core.ports import Notification, Notifier
from shared.slack.notify import SlackNotifier, SlackSettings, escape_for_slack
from tests.serving.servers import Answer, Listener, listening

OK = Answer(body=b'{"ok": true, "ts": "1.2"}')
TOKEN = "xoxb-very-secret"


def limited(seconds: str) -> Answer:
    return Answer(429, {"retry-after": seconds}, b'{"ok": false, "error": "ratelimited"}')


def refused(why: str) -> Answer:
    return Answer(body=json.dumps({"ok": False, "error": why}).encode())


def told(listener: Listener, *messages: tuple[str, str]) -> list[float]:
    """Send messages; the pauses that were made."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run() -> None:
        settings = SlackSettings(SecretStr(TOKEN), "C123", listener.url + "/api", sleep=sleep)
        notifier = SlackNotifier(settings)
        port: Notifier = notifier
        try:
            await asyncio.gather(*(port.notify(Notification(title, title, text=text)) for title, text in messages))
        finally:
            await notifier.aclose()

    asyncio.run(run())
    return slept


def test_a_message_is_posted_with_the_token() -> None:
    with listening(OK) as slack:
        assert told(slack, ("Prompt p", "version 2 was created")) == []
    (heard,) = slack.heard
    assert heard.path == "/api/chat.postMessage"
    assert heard.headers["authorization"] == f"Bearer {TOKEN}"
    assert heard.json["channel"] == "C123"
    assert heard.json["text"] == "*Prompt p*\nversion 2 was created"
    assert (heard.json["unfurl_links"], heard.json["unfurl_media"]) == (False, False)


def test_nothing_in_a_message_calls_anybody() -> None:
    with listening(OK) as slack:
        told(slack, ("<!channel> & <@U1>", "see <http://evil.example|this> <!here> <#C9> <!subteam^S1>"))
    text = slack.heard[0].json["text"]
    assert "<" not in text and ">" not in text
    assert text.startswith("*&lt;!channel&gt; &amp; &lt;@U1&gt;*")


@given(st.text())
def test_what_is_escaped_says_the_same_and_does_nothing(text: str) -> None:
    found = escape_for_slack(text)
    assert not set("<>") & set(found)
    assert found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text


def test_a_long_text_is_cut() -> None:
    assert escape_for_slack("x" * 5000) == "x" * 2999 + "…"


def test_it_waits_as_long_as_slack_asks() -> None:
    """Messages behind it wait too: they go one after the other."""
    with listening(OK) as slack:
        slack.answers = [limited("7"), limited("2")]
        assert told(slack, ("a", "b"), ("c", "d")) == [7.0, 2.0]
    assert [each.json["text"] for each in slack.heard] == ["*a*\nb"] * 3 + ["*c*\nd"]


@pytest.mark.parametrize(
    ("answers", "error", "asked"),
    [
        ([limited("16")], RateLimited, 1),
        ([limited("1")] * 3, RateLimited, 3),
        ([limited("soon")] * 3, RateLimited, 3),
        ([Answer(503, {}, b"<html>")] * 3, Unavailable, 3),
        ([refused("internal_error")] * 3, Unavailable, 3),
        ([Answer(200, {}, b"<html>")], BadAnswer, 1),
        ([refused("channel_not_found")], ConfigError, 1),
        ([refused("invalid_auth")], ConfigError, 1),
        ([Answer(404, {}, b"[]")], ConfigError, 1),
    ],
)
def test_what_fails_is_said_without_the_token(answers: list[Answer], error: type[TruelineError], asked: int) -> None:
    with listening(OK) as slack:
        slack.answers = answers
        with pytest.raises(error) as caught:
            told(slack, ("a", "b"))
    assert len(slack.heard) == asked
    assert TOKEN not in str(caught.value)


def test_a_failure_that_passes_is_not_noticed() -> None:
    with listening(OK) as slack:
        slack.answers = [Answer(502, {}, b""), refused("service_unavailable")]
        assert told(slack, ("a", "b")) == [1.0, 1.0]
    assert len(slack.heard) == 3


def test_a_server_that_is_not_there_is_said_so() -> None:
    with listening() as slack:
        pass
    with pytest.raises(Unavailable, match="Slack cannot be reached"):
        told(slack, ("a", "b"))
    assert TOKEN not in repr(SlackSettings(SecretStr(TOKEN), "C1"))
