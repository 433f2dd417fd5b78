"""The source `slack_neon_join`: a fake Slack, and a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from shared.core.errors import ConfigError, SourceError
from shared.core.extraction import BrokenRecord, Fetched, SkippedRecord, SourceNotice
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.window import WindowRule
from shared.wiring.build.sources.slack_neon_join import SlackNeonJoin, SlackNeonJoinParams
from tests.contracts.adapters.served import postgres_at
from tests.slack.fake_slack import TOKEN, FakeSlack, fake_slack

NOW = datetime(2025, 12, 3, 12, tzinfo=UTC)
QUERY = "SELECT case_id, slack_ts, channel, decision, created_at FROM cases ORDER BY case_id -- all"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as fake:
        yield fake


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = postgres_at(tmp_path)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE cases (case_id TEXT, slack_ts TEXT, channel TEXT, decision TEXT, created_at TIMESTAMPTZ)"
        )
    return address


def ts(hours_ago: float) -> str:
    return f"{(NOW - timedelta(hours=hours_ago)).timestamp():.6f}"


def case(url: str, case_id: str | None, slack_ts: str | None, hours_ago: float, decision: str = "yes") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        row = (case_id, slack_ts, "C1", decision, NOW - timedelta(hours=hours_ago))
        connection.execute("INSERT INTO cases VALUES (%s, %s, %s, %s, %s)", row)


def fetched(slack: FakeSlack, url: str, root: Path, **given: Any) -> list[Fetched]:
    params = {
        "slack_token": TOKEN,
        "channel_ids": ["C1"],
        "base_url": slack.api,
        "requests_per_minute": 1200,
        "neon_query": QUERY,
        "neon_connection_string": url,
        "slack_join_columns": ["thread_ts", "channel_id"],
        "neon_join_columns": ["slack_ts", "channel"],
        "dataset_id_column": "case_id",
    }
    made = SlackNeonJoinParams.model_validate(params | given)
    context = SourceContext(root, "slack_neon_join:t", DatasetItem.from_dict, WindowRule(seconds_back=86_400))
    return list(SlackNeonJoin(made, context).fetch(NOW))


def items(found: list[Fetched]) -> list[DatasetItem]:
    return [each for each in found if isinstance(each, DatasetItem)]


def test_a_thread_takes_over_the_columns_of_its_row(slack: FakeSlack, url: str, tmp_path: Path) -> None:
    """And its id; a thread without a row is skipped with the reason, a row without a thread is nothing."""
    joined, alone = slack.add("q", "C1", ts(2), user="U1"), slack.add("no case", "C1", ts(3), user="U1")
    case(url, "case-1", joined, 1.9)
    case(url, "case-2", ts(5), 1.9)
    found = fetched(slack, url, tmp_path)
    (item,) = items(found)
    assert (item.id, item.query) == ("case-1", "q")
    assert item.additional_input["decision"] == "yes" and item.additional_input["sender"] == "U1"
    (skipped,) = [each for each in found if isinstance(each, SkippedRecord)]
    assert skipped.item_id == alone.replace(".", "") and "no row has its thread_ts and channel_id" in skipped.why
    for kept in ({"use_slack_thread_dataset_id": True}, {"dataset_id_column": None}):
        assert [each.id for each in items(fetched(slack, url, tmp_path, **kept))] == [joined.replace(".", "")]


def test_the_buffer_widens_the_window_of_the_rows(slack: FakeSlack, url: str, tmp_path: Path) -> None:
    thread = slack.add("q", "C1", ts(2), user="U1")
    case(url, "case-1", thread, 2.4)
    assert items(fetched(slack, url, tmp_path)) == []
    assert len(items(fetched(slack, url, tmp_path, buffer_minutes=30))) == 1


def test_of_several_rows_the_newest_is_taken_and_said_so(slack: FakeSlack, url: str, tmp_path: Path) -> None:
    thread = slack.add("q", "C1", ts(2), user="U1")
    case(url, "case-1", thread, 1.5, "no")
    case(url, "case-2", thread, 0.5, "yes")
    found = fetched(slack, url, tmp_path)
    assert [each.id for each in items(found)] == ["case-2"]
    assert ["newest is taken" in each.text for each in found if isinstance(each, SourceNotice)] == [True]


def test_a_row_without_the_id_is_a_broken_record(slack: FakeSlack, url: str, tmp_path: Path) -> None:
    case(url, None, slack.add("q", "C1", ts(2), user="U1"), 1)
    (broken,) = [each for each in fetched(slack, url, tmp_path) if isinstance(each, BrokenRecord)]
    assert "case_id" in broken.why


def test_a_column_that_the_result_lacks_is_named(slack: FakeSlack, url: str, tmp_path: Path) -> None:
    slack.add("q", "C1", ts(2), user="U1")
    with pytest.raises(ConfigError, match=r"no column 'ts'.*slack_ts"):
        fetched(slack, url, tmp_path, neon_join_columns=["ts", "channel"])
    with pytest.raises(ConfigError, match="no column 'made_at'"):
        fetched(slack, url, tmp_path, neon_time_column="made_at")
    one = {"neon_join_columns": ["slack_ts"]}
    for wrong in (one, {"neon_query": "DROP TABLE cases"}, {"neon_time_column": "a; b"}):
        with pytest.raises(ValidationError):
            fetched(slack, url, tmp_path, **wrong)


def test_a_server_that_is_not_there_fails_the_read(
    slack: FakeSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_WAKE_SECONDS", "0.1")
    slack.add("q", "C1", ts(2), user="U1")
    with pytest.raises(SourceError) as caught:
        fetched(slack, "postgresql://u:s3cret@127.0.0.1:1/x", tmp_path)
    assert "s3cret" not in str(caught.value)
