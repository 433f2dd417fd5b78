"""The source `slack`, on a fake Slack: threads as items, what each filter leaves out, and what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from shared.core.clock import utc_now
from shared.core.errors import ConfigError, SourceError
from shared.core.extraction import Fetched, SkippedRecord, SourceNotice
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.window import EVERYTHING, WindowRule
from shared.monitoring.sources import SlackDataSource
from shared.slack.reaction_labels import SlackLabels, SlackLabelsParams
from shared.slack.slack_source import SlackSource
from shared.slack.source_params import SlackSourceParams
from tests.slack.fake_slack import TOKEN, FakeSlack, Trouble, fake_slack, refused

NOW = datetime(2025, 12, 3, 12, tzinfo=UTC)
DAY = WindowRule(seconds_back=86_400)
BOT = {"bot_id": "B9", "bot_profile": {"name": "Helper"}}


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as fake:
        yield fake


def ts(hours_ago: float, number: int = 0) -> str:
    return f"{(NOW - timedelta(hours=hours_ago)).timestamp() + number / 1000:.6f}"


def source(slack: FakeSlack, root: Path, window: WindowRule = DAY, **given: Any) -> SlackSource:
    reading = {"slack_token": TOKEN, "channel_ids": ["C1"], "base_url": slack.api, "requests_per_minute": 1200}
    params = SlackSourceParams.model_validate(reading | given)
    return SlackSource(params, SourceContext(root, "slack:t", DatasetItem.from_dict, window))


def fetched(slack: FakeSlack, root: Path, window: WindowRule = DAY, **given: Any) -> list[Fetched]:
    return list(source(slack, root, window, **given).fetch(NOW))


def items(found: list[Fetched]) -> list[DatasetItem]:
    return [each for each in found if isinstance(each, DatasetItem)]


def texts(item: DatasetItem) -> list[str]:
    assert item.conversation is not None
    return [f"{message.role}: {message.content}" for message in item.conversation.messages]


def a_thread(slack: FakeSlack, hours_ago: float = 2, channel: str = "C1") -> str:
    root = slack.add("Is it covered?", channel, ts(hours_ago), user="U1")
    slack.add("Yes, by section 4.", channel, ts(hours_ago, 1), thread_ts=root, **BOT)
    slack.add("Thanks", channel, ts(hours_ago, 2), thread_ts=root, user="U1")
    return root


def test_a_thread_is_one_item_with_its_conversation(slack: FakeSlack, tmp_path: Path) -> None:
    root = a_thread(slack)
    (item,) = items(fetched(slack, tmp_path, workspace_domain="acme"))
    assert item.id == root.replace(".", "")
    assert texts(item) == ["user: Is it covered?", "assistant: Yes, by section 4.", "user: Thanks"]
    assert item.actual_output == "Yes, by section 4."
    assert item.source_timestamp == NOW - timedelta(hours=2)
    assert item.metadata["message_url"] == f"https://acme.slack.com/archives/C1/p{item.id}"
    assert (item.metadata["channel_id"], item.metadata["thread_ts"]) == ("C1", root)
    assert item.additional_input == {"reply_count": 2, "sender": "U1"}


def test_the_window_holds_threads_that_began_or_got_a_reply_in_it(slack: FakeSlack, tmp_path: Path) -> None:
    """History lists a thread by its first message's time only, so earlier ones are looked at again."""
    old = a_thread(slack, hours_ago=100)
    a_thread(slack, hours_ago=90)
    new = a_thread(slack, hours_ago=3)
    slack.add("one more", "C1", ts(1), thread_ts=old, user="U2")
    assert {item.id for item in items(fetched(slack, tmp_path))} == {each.replace(".", "") for each in (old, new)}
    assert len(items(fetched(slack, tmp_path, thread_lookback=0))) == 1
    assert len(items(fetched(slack, tmp_path, EVERYTHING))) == 3


def test_replies_are_asked_for_only_where_a_thread_has_changed(slack: FakeSlack, tmp_path: Path) -> None:
    first, second = a_thread(slack), a_thread(slack, hours_ago=3)
    slack.add("alone", "C1", ts(4), user="U3")
    assert len(items(fetched(slack, tmp_path))) == 3
    assert len(slack.called("conversations.replies")) == 2
    slack.add("one more", "C1", ts(0.5), thread_ts=second, user="U2")
    again = items(fetched(slack, tmp_path))
    assert [each["ts"] for each in slack.called("conversations.replies")[2:]] == [second]
    assert {len(texts(item)) for item in again} == {1, 3, 4}
    assert first != second


@pytest.mark.parametrize("repeated", [True, False])
def test_a_long_thread_is_read_whole_and_each_message_once(slack: FakeSlack, tmp_path: Path, repeated: bool) -> None:
    """Whether or not each page of replies repeats the first message."""
    slack.parents_on_every_page, slack.page = repeated, 7
    root = slack.add("start", "C1", ts(2), user="U1")
    for n in range(30):
        slack.add(f"r{n}", "C1", ts(2, n + 1), thread_ts=root, user="U1")
    (item,) = items(fetched(slack, tmp_path))
    assert texts(item) == ["user: start", *(f"user: r{n}" for n in range(30))]


def test_a_read_that_was_cut_off_goes_on_at_its_page(slack: FakeSlack, tmp_path: Path) -> None:
    """And has what came since, and nothing twice."""
    slack.page = 5
    for n in range(20):
        slack.add(f"m{n}", "C1", ts(5, n), user="U1")
    reading = source(slack, tmp_path).fetch(NOW)
    got = [next(reading) for _ in range(8)]
    reading.close()  # type: ignore[attr-defined]  # a generator
    slack.add("new", "C1", ts(1), user="U1")
    before = len(slack.called("conversations.history"))
    later = list(source(slack, tmp_path).fetch(NOW + timedelta(minutes=10)))
    again = items(later)
    (notice,) = [each for each in later if isinstance(each, SourceNotice)]
    assert notice.behind >= 600, "what its first pages could not show yet lies in the next window"
    assert len(got) == 8
    assert sorted(texts(item)[0] for item in again) == sorted(["user: new", *(f"user: m{n}" for n in range(20))])
    assert len(slack.called("conversations.history")) - before == 3
    before = len(slack.called("conversations.history"))
    assert len(items(fetched(slack, tmp_path))) == 21
    assert len(slack.called("conversations.history")) - before == 5, "a whole read leaves no page behind"


def test_a_thread_whose_replies_cannot_be_read_is_left_to_the_next_run(slack: FakeSlack, tmp_path: Path) -> None:
    """It is not scored by half; the others are given."""
    broken = a_thread(slack)
    a_thread(slack, hours_ago=3)
    slack.fail("conversations.replies", refused("thread_not_found"))
    found = fetched(slack, tmp_path)
    assert len(items(found)) == 1
    (skipped,) = [each for each in found if isinstance(each, SkippedRecord)]
    assert skipped.item_id == broken.replace(".", "") and skipped.later
    (notice,) = [each for each in found if isinstance(each, SourceNotice)]
    assert "thread_not_found" in notice.text
    assert NOW - timedelta(seconds=notice.behind) <= NOW - timedelta(hours=2), "the next window holds it"
    assert len(items(fetched(slack, tmp_path))) == 2


def test_a_channel_that_cannot_be_read_is_named_and_stops_no_other(slack: FakeSlack, tmp_path: Path) -> None:
    a_thread(slack)
    found = fetched(slack, tmp_path, channel_ids=["C404", "C1"])
    assert len(items(found)) == 1
    (notice,) = [each for each in found if isinstance(each, SourceNotice)]
    assert notice.cut and "channel C404" in notice.text and "channel_not_found" in notice.text


def test_a_channel_that_always_fails_keeps_no_pages_of_the_others(slack: FakeSlack, tmp_path: Path) -> None:
    """Its neighbours are read afresh each time, with their new replies, and the file does not grow."""
    root = a_thread(slack)
    sizes = []
    for n in range(3):
        slack.add(f"more {n}", "C1", ts(1, n), thread_ts=root, user="U1")
        (item,) = items(fetched(slack, tmp_path, channel_ids=["C404", "C1"]))
        assert len(texts(item)) == 4 + n
        sizes.append(sum(each.read_text().count("\n") for each in (tmp_path / "data" / "state").iterdir()))
    assert sizes == [1, 1, 1]


def test_no_channel_at_all_is_an_error_that_names_each(slack: FakeSlack, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"C404: .*channel_not_found.*C405"):
        fetched(slack, tmp_path, channel_ids=["C404", "C405"])
    slack.scopes = ("users:read",)
    with pytest.raises(SourceError, match="lacks channels:history"):
        fetched(slack, tmp_path)
    with pytest.raises(ConfigError, match="invalid_auth") as caught:
        fetched(slack, tmp_path, slack_token=SecretStr("xoxb-wrong"), channel_ids=["C1", "C2"])
    assert "xoxb-wrong" not in str(caught.value)


def test_texts_are_as_people_read_them(slack: FakeSlack, tmp_path: Path) -> None:
    """Names for ids, from the configuration and from Slack; somebody unknown costs a name only."""
    slack.users = {"U2": {"id": "U2", "profile": {"display_name": "Bea", "real_name": "B. Ea"}}, "U4": {"name": "dee"}}
    raw = (
        "<@U1> <@U2> <@U3> <@U4|d> <#C9|rules> <!here> <https://a.example/x|the page> <https://b.example> a &lt; b 東京"
    )
    slack.add(raw, "C1", ts(2), user="U2")
    (item,) = items(fetched(slack, tmp_path, member_id_to_display_name={"U1": "Ann"}))
    said = "@Ann @Bea @human @dee #rules @here the page (https://a.example/x) https://b.example a < b 東京"
    assert item.query == said
    assert len(slack.called("users.info")) == 3, "each is asked for once"


def test_names_need_no_scope(slack: FakeSlack, tmp_path: Path) -> None:
    slack.scopes = ("channels:history",)
    slack.add("hi <@U7> <@U8>", "C1", ts(2), user="U2")
    (item,) = items(fetched(slack, tmp_path))
    assert item.query == "hi @human @human"
    assert len(slack.called("users.info")) == 1, "not asked again once the scope is known to be missing"


def test_what_nobody_said_is_no_message(slack: FakeSlack, tmp_path: Path) -> None:
    """Joins, deleted first messages, and copies of replies in the channel."""
    slack.add("joined", "C1", ts(5), user="U1", subtype="channel_join")
    root = slack.add("This message was deleted.", "C1", ts(4), user="USLACKBOT", subtype="tombstone")
    slack.add("still here", "C1", ts(4, 1), thread_ts=root, user="U1")
    slack.add("also in the channel", "C1", ts(4, 2), thread_ts=root, user="U1", subtype="thread_broadcast")
    slack.channels["C1"].append(
        {"type": "message", "ts": ts(3), "user": "U1", "text": "", "files": [{"name": "a.pdf"}]}
    )
    slack.add("better", "C1", ts(2), user="U1", edited={"user": "U1", "ts": ts(1)})
    found = {tuple(texts(item)) for item in items(fetched(slack, tmp_path))}
    expected = {("user: still here", "user: also in the channel"), ("user: [file: a.pdf]",), ("user: better",)}
    assert found == expected


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"filter_sender": "U1"}, ["user: Is it covered?", "assistant: Yes, by section 4.", "user: Thanks"]),
        ({"filter_sender": "Ann"}, ["user: Is it covered?", "assistant: Yes, by section 4.", "user: Thanks"]),
        ({"filter_sender": "U2"}, []),
        ({"exclude_senders": ["U1"]}, ["assistant: Yes, by section 4."]),
        ({"exclude_senders": ["Helper"]}, ["user: Is it covered?", "user: Thanks"]),
        ({"drop_message_regexes": ["^Thank"]}, ["user: Is it covered?", "assistant: Yes, by section 4."]),
        ({"drop_message_regexes": ["."]}, []),
        ({"drop_if_first_is_user": True}, []),
        ({"exclude_senders": ["U1"], "drop_if_all_ai": True}, []),
        ({"bot_name": "Other"}, ["user: Is it covered?", "user: Yes, by section 4.", "user: Thanks"]),
        ({"bot_names": ["Helper"]}, ["user: Is it covered?", "assistant: Yes, by section 4.", "user: Thanks"]),
        ({"scrape_threads": False}, ["user: Is it covered?"]),
    ],
)
def test_filters(slack: FakeSlack, tmp_path: Path, given: dict[str, Any], left: list[str]) -> None:
    """What is left of a thread; one of which nothing is left is skipped with the reason."""
    slack.users = {"U1": {"profile": {"display_name": "Ann"}}}
    a_thread(slack)
    found = fetched(slack, tmp_path, **given)
    assert [texts(item) for item in items(found)] == ([left] if left else [])
    assert [each.why != "" for each in found if isinstance(each, SkippedRecord)] == ([] if left else [True])


def test_a_list_of_sources_is_cut_off(slack: FakeSlack, tmp_path: Path) -> None:
    slack.add("Covered [1].\n\n[1] <https://x.example|Policy>\n[2] Rules\n_Generated by Helper_", "C1", ts(2), **BOT)
    slack.add("[1] in the middle\nstays", "C1", ts(1), **BOT)
    found = [texts(item)[0] for item in items(fetched(slack, tmp_path, strip_citation_block=True))]
    assert found == ["assistant: [1] in the middle\nstays", "assistant: Covered [1].\n_Generated by Helper_"]


def test_reactions_and_files_go_with_the_item(slack: FakeSlack, tmp_path: Path) -> None:
    root = slack.add("q", "C1", ts(2), user="U1", files=[{"name": "b.png"}])
    slack.add("a", "C1", ts(2, 1), thread_ts=root, reactions=[{"name": "+1", "users": ["U1", "U2"], "count": 2}], **BOT)
    (item,) = items(fetched(slack, tmp_path))
    assert item.metadata["reactions"] == {"+1": 2}
    assert item.conversation is not None
    assert item.conversation.messages[0].metadata["files"] == ["b.png"]
    assert item.conversation.messages[1].metadata["reactions"] == {"+1": 2}


def test_a_limit_takes_the_newest_threads_of_each_channel_and_says_so(slack: FakeSlack, tmp_path: Path) -> None:
    for n in range(5):
        slack.add(f"m{n}", "C1", ts(5, n), user="U1")
    found = fetched(slack, tmp_path, limit=2)
    assert [texts(item)[0] for item in items(found)] == ["user: m4", "user: m3"]
    assert [each.cut for each in found if isinstance(each, SourceNotice)] == [True]


def test_the_older_spellings_of_the_window_mean_the_same(slack: FakeSlack, tmp_path: Path) -> None:
    a_thread(slack, hours_ago=1)
    a_thread(slack, hours_ago=5)
    assert len(items(fetched(slack, tmp_path, EVERYTHING, window_hours=2))) == 1
    assert len(items(fetched(slack, tmp_path, EVERYTHING, oldest_ts=float(ts(6)), latest_ts=float(ts(4))))) == 1
    with pytest.raises(ConfigError, match="two windows"):
        source(slack, tmp_path, DAY, window_hours=2)
    for wrong in ({"window_hours": 0}, {"window_hours": 1, "window_days": 1}, {"oldest_ts": 5.0, "latest_ts": 4.0}):
        with pytest.raises(ValidationError):
            source(slack, tmp_path, EVERYTHING, **wrong)


def test_a_run_that_was_missed_leaves_no_gap(slack: FakeSlack, tmp_path: Path) -> None:
    a_thread(slack, hours_ago=30)
    late = source(slack, tmp_path).caught_up(NOW - timedelta(hours=40))
    assert len(items(list(late.fetch(NOW)))) == 1


def test_check_says_how_many_calls_a_run_makes(slack: FakeSlack, tmp_path: Path) -> None:
    now = utc_now()
    root = slack.add("q", "C1", f"{(now - timedelta(hours=2)).timestamp():.6f}", user="U1")
    slack.add("a", "C1", f"{(now - timedelta(hours=1)).timestamp():.6f}", thread_ts=root, **BOT)
    slack.archived.add("C1")
    said = asyncio.run(source(slack, tmp_path).connect())
    assert "workspace Acme as trueline; #c1 (archived)" in said
    assert "about 2 calls (1 pages of history, 1 threads with replies)" in said


def test_the_public_name_is_the_same_source(slack: FakeSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a_thread(slack)
    made = SlackDataSource(slack_token=TOKEN, channel_ids=["C1"], base_url=slack.api, window="all", name="n")
    assert made.key == "slack:n"
    assert len(items(list(made.fetch(NOW)))) == 1


def labels(slack: FakeSlack, **given: Any) -> list[tuple[str, float, str]]:
    reading = {"slack_token": TOKEN, "channel_ids": ["C1"], "base_url": slack.api, "requests_per_minute": 1200}
    params = SlackLabelsParams.model_validate(reading | {"metric": "Helpful"} | given)
    found = list(SlackLabels(params, Path(), lambda: NOW).labels())
    assert {each.claim for each in found} <= {"Helpful"}
    return [(each.item_id, each.value, each.who) for each in found]


def test_reactions_are_labels_of_the_threads_item(slack: FakeSlack) -> None:
    """On the first message and on replies; which reaction means what is configuration; skin tones change nothing."""
    root = slack.add("q", "C1", ts(2), user="U1", reactions=[{"name": "x", "users": ["U3"], "count": 1}])
    given = [{"name": "+1::skin-tone-2", "users": ["U1"], "count": 1}, {"name": "eyes", "users": ["U2"], "count": 1}]
    slack.add("a", "C1", ts(2, 1), thread_ts=root, reactions=given, **BOT)
    item = root.replace(".", "")
    assert labels(slack) == [(item, 0.0, "U3"), (item, 1.0, "U1")]
    assert labels(slack, emoji={"eyes": 0.5}) == [(item, 0.5, "U2")]


def test_of_a_reaction_by_many_nobody_is_left_out(slack: FakeSlack) -> None:
    everybody = [f"U{n}" for n in range(60)]
    given = [{"name": "+1", "users": everybody[:50], "count": 60, "everybody": everybody}]
    slack.add("q", "C1", ts(2), user="U1", reactions=given)
    assert [who for _, _, who in labels(slack)] == everybody
    slack.scopes = ("channels:history",)
    with pytest.raises(ConfigError, match="reactions:read"):
        labels(slack)


def test_labels_that_cannot_be_read_fail_whole(slack: FakeSlack) -> None:
    slack.add("q", "C1", ts(2), user="U1")
    slack.fail("conversations.history", *[Trouble(200, b"<html>")] * 5)
    with pytest.raises(SourceError, match="labels of slack C1"):
        labels(slack)
