"""Who is told of a changed prompt besides the caches: a notify URL and Slack, also after a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.core.clock import utc_now
from shared.core.errors import StoreError, Unavailable
from shared.core.state.webhook_deliveries import Delivery
from shared.database.engine.database import Database, open_database
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.http.verify_signature import Forged, verify
from shared.langfuse.receiver.announcer import Announcer, AnnounceSettings, describe_change
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.webhooks import SECRET
from tests.langfuse.fake_server.wire import MovableClock
from tests.serving.servers import PATH, Answer, event, listening, post, serving, spawned, until

OK = Answer(body=b'{"ok": true}')
QUICK = AnnounceSettings(first=0.0, every=0.01, tries=4)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "state.db")
    yield database
    database.close()


def done(state: Database) -> int:
    return SqlDeliveries(state).counts()["done"]


def test_the_notify_url_hears_all_of_it_signed(state: Database, caplog: pytest.LogCaptureFixture) -> None:
    """And can tell with the function that the receiver itself uses; with a secret of its own where one is set."""
    body = event("d1", "team/ä", user={"name": "Ann"})
    for secret in ({}, {"LANGFUSE_WEBHOOK_NOTIFY_SECRET": "its own"}):
        with (
            listening() as app,
            serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=app.url + "/hook?k=1", **secret) as port,
        ):
            assert post(port, body)[0] == 200
            until(lambda: len(app.heard) == 1)
            until(lambda: done(state) == 1)
            (heard,) = app.heard
        with state.write() as connection:
            connection.exec_driver_sql("DELETE FROM deliveries")
        assert heard.path == "/hook?k=1"
        assert heard.json == {"event": "prompt.changed", "promptName": "team/ä", "payload": json.loads(body)}
        assert heard.headers["x-trueline-delivery"] == "d1"
        signature = heard.headers["x-trueline-signature"]
        verify(secret.get("LANGFUSE_WEBHOOK_NOTIFY_SECRET", SECRET), signature, heard.body, time.time())
        with pytest.raises(Forged):
            verify("another", signature, heard.body, time.time())
        assert ("LANGFUSE_WEBHOOK_NOTIFY_SECRET is not set" in caplog.text) is (not secret)
        caplog.clear()


def test_the_notify_url_hears_of_a_delivery_whose_id_no_header_can_hold(state: Database) -> None:
    with listening() as app, serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=app.url) as port:
        assert post(port, event("ü\r\nx"))[0] == 200
        until(lambda: done(state) == 1)
    (heard,) = app.heard
    assert heard.headers["x-trueline-delivery"] == "%C3%BC%0D%0Ax"


def test_the_notify_urls_token_is_in_no_log(state: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where everything is logged that anybody has to say."""
    caplog.set_level(logging.DEBUG)
    with listening() as app, serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=app.url + "/hook?k=t0ken") as port:
        app.answers.append(Answer(500))
        assert post(port, event("d1", "p"))[0] == 200
        until(lambda: done(state) == 1)
        assert len(app.heard) == 2
    assert "answered 500" in caplog.text
    assert "t0ken" not in caplog.text and SECRET not in caplog.text


def test_slack_hears_what_changed_and_not_what_it_says(state: Database) -> None:
    variables = {"LANGFUSE_SLACK_CHANNEL_ID": "C1", "SLACK_BOT_TOKEN": "xoxb-1"}
    clock = MovableClock(datetime.now(UTC))
    with (
        listening(OK) as slack,
        run_fake_langfuse(clock=clock) as langfuse,
        serving(state.path, **variables, SLACK_API_URL=slack.url) as port,
    ):
        langfuse.webhooks.url = f"http://127.0.0.1:{port}{PATH}"
        prompt = {"name": "<!channel>", "version": 3, "labels": ["production", "latest"], "prompt": "do secret things"}
        langfuse.webhooks("created", prompt)
        until(lambda: done(state) == 1)
        said = slack.heard[0].json["text"]
    assert said == "*Prompt &lt;!channel&gt;*\nversion 3 was created; labels: production, latest"
    assert not any(b"secret things" in each.body for each in slack.heard)


def test_nobody_is_sent_a_secret(state: Database) -> None:
    """A key in a prompt, its name or a label leaves neither for the notify URL nor for Slack."""
    key = "sk-proj-4fT9aZ1kLmQ8vB2xN7cR5wYd"
    body = event("d1", f"team {key}", prompt={"name": f"team {key}", "labels": [SECRET], "prompt": f"use {key}"})
    variables = {"LANGFUSE_SLACK_CHANNEL_ID": "C1", "SLACK_BOT_TOKEN": "xoxb-1"}
    with listening(OK) as slack, listening() as app:
        variables |= {"SLACK_API_URL": slack.url, "LANGFUSE_WEBHOOK_NOTIFY_URL": app.url}
        with serving(state.path, **variables) as port:
            assert post(port, body)[0] == 200
            until(lambda: done(state) == 1)
        sent = [app.heard[0].json, slack.heard[0].json]
    assert not any(secret in json.dumps(each) for each in sent for secret in (key, SECRET))
    assert sent[0]["payload"]["prompt"]["prompt"] == "use [KEY]"
    assert sent[1]["text"].startswith("*Prompt team [KEY]*")


def test_the_answer_does_not_wait_for_those_who_are_told(state: Database) -> None:
    hold = threading.Event()
    with listening(Answer(hold=hold)) as app, serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=app.url) as port:
        assert post(port, event("d1"))[0] == 200
        until(lambda: len(app.heard) == 1)
        assert post(port, event("d2"))[0] == 200
        assert done(state) == 0
        hold.set()
        until(lambda: done(state) == 2)


def test_only_the_channel_that_has_not_heard_is_told_again(state: Database) -> None:
    variables = {"LANGFUSE_SLACK_CHANNEL_ID": "C1", "SLACK_BOT_TOKEN": "xoxb-1"}
    with listening(OK) as slack, listening() as app:
        app.answers = [Answer(500), Answer(302, {"location": "/elsewhere"}), Answer(404)]
        variables |= {"SLACK_API_URL": slack.url, "LANGFUSE_WEBHOOK_NOTIFY_URL": app.url}
        with serving(state.path, **variables) as port:
            post(port, event("d1"))
            until(lambda: len(app.heard) == 4 and done(state) == 1)
        assert len(slack.heard) == 1
        assert len({each.headers["x-trueline-delivery"] for each in app.heard}) == 1
        assert {each.path for each in app.heard} == {"/"}


def test_a_copy_tells_nobody_again(state: Database) -> None:
    with listening() as app, serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=app.url) as port:
        for body in (event("d1"), event("d1"), event("d2", type="monitor-alert"), event("d3")):
            post(port, body)
        until(lambda: done(state) == 2)
    assert sorted(each.headers["x-trueline-delivery"] for each in app.heard) == ["d1", "d3"]


def test_what_a_killed_process_was_telling_is_told_by_the_next(state: Database) -> None:
    """The first is killed while it tells; its lease passes, and the other process takes it up."""
    hold = threading.Event()
    with listening() as app:
        app.answers = [Answer(hold=hold)]
        variables = {"LANGFUSE_WEBHOOK_NOTIFY_URL": app.url, "LANGFUSE_WEBHOOK_LEASE_SECONDS": "1"}
        with spawned(state.path, **variables) as process:
            assert post(process.port, event("d1"))[0] == 200
            until(lambda: len(app.heard) == 1)
            process.child.kill()
            process.ended()
        assert SqlDeliveries(state).counts()["waiting"] == 1
        with spawned(state.path, **variables):
            until(lambda: done(state) == 1)
        hold.set()
        assert [each.headers["x-trueline-delivery"] for each in app.heard] == ["d1", "d1"]


def test_what_was_stored_before_a_restart_is_told_after_it(state: Database) -> None:
    """Nobody listened when it came."""
    with listening() as app:
        pass
    with serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=app.url) as port:
        post(port, event("d1"))
    assert SqlDeliveries(state).counts()["waiting"] == 1
    with listening() as later, serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL=later.url):
        until(lambda: done(state) == 1)
    assert len(later.heard) == 1


def test_the_end_hands_back_what_is_being_told(state: Database) -> None:
    """Whoever comes next need not wait for the lease."""
    told = asyncio.run(_closed_while_telling(state))
    assert told == 1
    assert [each.tries for each in SqlDeliveries(state).claim(utc_now(), timedelta(seconds=60), 5)] == [2]


async def _closed_while_telling(state: Database) -> int:
    began = asyncio.Event()
    told = 0

    async def forever(_: Delivery) -> None:
        nonlocal told
        told += 1
        began.set()
        await asyncio.sleep(600)

    store = SqlDeliveries(state)
    store.accept([Delivery("d1", "p", "updated", 1, "{}")], ["notify"], utc_now())
    announcer = Announcer(store, {"notify": forever}, QUICK, utc_now, lambda name, heard: None)
    announcer.start()
    await began.wait()
    await announcer.aclose(grace=0.05)
    return told


async def _announced(state: Database, failures: list[Exception], settings: AnnounceSettings) -> list[tuple[str, bool]]:
    """What became of one delivery whose channel fails so many times."""
    heard: list[tuple[str, bool]] = []

    async def channel(_: Delivery) -> None:
        if failures:
            raise failures.pop(0)

    store = SqlDeliveries(state)
    store.accept([Delivery("d1", "p", "updated", 1, "{}")], ["notify", "one that was taken away"], utc_now())
    announcer = Announcer(store, {"notify": channel}, settings, utc_now, lambda name, well: heard.append((name, well)))
    announcer.start()
    for _ in range(1000):
        if not (await asyncio.to_thread(store.counts))["waiting"]:
            break
        await asyncio.sleep(0.01)
    await announcer.aclose()
    return heard


def test_whatever_a_channel_raises_is_tried_again(state: Database) -> None:
    failures: list[Exception] = [Unavailable("x"), KeyError("a bug"), StoreError("y")]
    assert asyncio.run(_announced(state, failures, QUICK)) == [("notify", False)] * 3 + [("notify", True)]
    assert done(state) == 1


def test_tries_have_an_end(state: Database, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[Exception] = [Unavailable("x")] * 9
    assert asyncio.run(_announced(state, failures, QUICK)) == [("notify", False)] * 4
    assert SqlDeliveries(state).counts() == {"done": 0, "waiting": 0, "failed": 1}
    assert "gave up notifying notify of prompt 'p'" in caplog.text


def test_old_deliveries_are_forgotten(state: Database) -> None:
    store = SqlDeliveries(state)
    store.accept([Delivery("old", "p", "updated", 1, "{}")], [], utc_now() - timedelta(days=2))
    with serving(state.path):
        until(lambda: done(state) == 0)


def test_what_people_are_told() -> None:
    def said(**prompt: object) -> str:
        return describe_change(Delivery("d", "p", "updated", None, json.dumps({"prompt": prompt})))[1]

    assert said() == "was updated"
    assert said(labels=["a", "b" * 50]) == f"was updated; labels: a, {'b' * 40}"
    assert describe_change(Delivery("d", "p", "", 4, "[]")) == ("Prompt p", "version 4 was changed")
