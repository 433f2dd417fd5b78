"""How long a sink waits for a score that the server accepted, and when it reads scores back immediately."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime, timedelta
from random import Random

import pytest

from shared.core.results import ItemResult
from shared.core.state.outbox import ClaimedMessage, MessageOutcome, Receipt
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.sink.build_scores import ScoreContext
from shared.langfuse.sink.score_sink import LangfuseSink
from shared.monitoring.sink_delivery import DeliveryLimits, settle_message
from tests.langfuse.batches import batch, item, made
from tests.langfuse.clients import client_of, settings
from tests.langfuse.fake_server.faults import UNAVAILABLE
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.wire import START

MESSAGE = (
    LangfuseSink(LangfuseClient(settings("http://127.0.0.1:9")), ScoreContext())
    .pack(batch([ItemResult(item(1), (made(),))]))
    .messages[0]
)


def look(sink: LangfuseSink, sent_at: datetime, now: datetime) -> MessageOutcome:
    """What the stored row of a sent score becomes by a process that looks for it for the first time."""

    async def verify() -> list[Receipt]:
        async with aclosing(sink):
            return await sink.verify([MESSAGE])

    (receipt,) = asyncio.run(verify())
    return settle_message(
        ClaimedMessage(MESSAGE, "sent", "b", "r", 1, sent_at, sent_at), receipt, now, DeliveryLimits(), Random(1)
    )


def test_an_accepted_score_is_lost_after_its_time_and_waited_for_before() -> None:
    """Its time counts from when it was sent, whichever process looks; it is looked for before, and then sent again."""
    with run_fake_langfuse() as server:
        seen = [
            look(LangfuseSink(client_of(server), lost_after=100.0), START, START + timedelta(seconds=after))
            for after in (0.5, 10, 90, 100)
        ]
    assert [each.state for each in seen] == ["sent", "sent", "sent", "pending"]
    waits = [(each.next_try_at - START).total_seconds() for each in seen]
    assert waits == [1.5, 20.0, 100.0, 100.0]  # a lost one is sent again without a pause
    assert "could not be read back within 1.66667 minutes" in seen[3].reason and seen[3].sent_at is None


def test_a_score_that_was_sent_by_a_clock_ahead_is_lost_by_the_right_one() -> None:
    """A clock that was a year ahead once holds nothing up for a year."""
    with run_fake_langfuse() as server:
        sink = LangfuseSink(client_of(server), lost_after=100.0)
        assert look(sink, START + timedelta(days=365), START).sent_at == START


def test_a_failed_read_says_nothing_about_the_score() -> None:
    """The reason names the read; the score is not sent again, however long the reads have failed."""
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: UNAVAILABLE if request.method == "GET" else None
        made = look(LangfuseSink(client_of(server, tries=1)), START, START + timedelta(days=2))
    assert made.state == "sent" and made.reason.startswith("reading back failed: ") and "503" in made.reason


@pytest.mark.parametrize(("delay", "reads"), [(0.0, 3), (60.0, 1)])
def test_scores_are_read_back_immediately_as_long_as_the_server_shows_them(delay: float, reads: int) -> None:
    """A server that shows scores later is not asked in vain with every batch."""
    with run_fake_langfuse(Plan(score_delay=delay)) as server:

        async def send_three() -> list[str]:
            sink = LangfuseSink(client_of(server))
            messages = sink.pack(batch([ItemResult(item(n), (made(),)) for n in range(3)])).messages
            states: list[str] = [(await sink.send([each]))[0].state for each in messages]
            await sink.aclose()
            return states

        assert asyncio.run(send_three()) == ["verified" if delay == 0 else "sent"] * 3
        assert server.asked["GET /api/public/v3/scores"] == reads


def test_a_score_without_tags_has_no_empty_list_of_them() -> None:
    """Metadata hold what is known and nothing else."""
    assert "tags" not in MESSAGE.body["score"]["metadata"]
