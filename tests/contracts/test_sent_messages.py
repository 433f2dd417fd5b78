"""The promises of `SentMessages`, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.core.state.sent_messages import SentMessage, SentMessages
from shared.database.engine.database import open_database
from shared.database.stores.sql_sent_messages import SqlSentMessages
from tests.contracts.adapters.served import postgres_at

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def sent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SentMessages]:
    opened = open_database(tmp_path / "state.db" if request.param == "sqlite" else postgres_at(tmp_path))
    yield SqlSentMessages(opened)
    opened.close()


def test_only_the_first_of_two_begins_a_message(sent: SentMessages) -> None:
    assert sent.begin("slack:C1", "a1", NOW) is None
    assert sent.begin("slack:C1", "a1", NOW + timedelta(hours=1)) == SentMessage(NOW)


def test_where_a_message_stands_is_kept_by_channel_and_alert(sent: SentMessages) -> None:
    sent.begin("slack:C1", "a1", NOW)
    sent.put("slack:C1", "a1", SentMessage(NOW, "C1", "1764590400.000100"))
    assert sent.begin("slack:C1", "a1", NOW) == SentMessage(NOW, "C1", "1764590400.000100")
    assert sent.begin("slack:C2", "a1", NOW) is None
    assert sent.begin("slack:C1", "a2", NOW) is None


def test_what_was_not_begun_can_be_stored_too(sent: SentMessages) -> None:
    sent.put("slack:C1", "found", SentMessage(NOW, "C1", "1.2"))
    assert sent.begin("slack:C1", "found", NOW) == SentMessage(NOW, "C1", "1.2")
