"""How long a sink waits for a score that the server accepted, and when it reads scores back immediately."""

from __future__ import annotations

import asyncio

import pytest

from shared.core.results import ItemResult
from shared.core.state.outbox import Receipt
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.sink.build_scores import ScoreContext
from shared.langfuse.sink.score_delivery import ReadBackTracker
from shared.langfuse.sink.score_sink import LangfuseSink
from tests.langfuse.batches import batch, item, made
from tests.langfuse.clients import SharedTime, client_of, settings
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock

MESSAGE = (
    LangfuseSink(LangfuseClient(settings("http://127.0.0.1:9")), ScoreContext())
    .pack(batch([ItemResult(item(1), (made(),))]))
    .messages[0]
)


def test_an_accepted_score_is_lost_after_its_time_and_waited_for_before() -> None:
    """It is looked for ever more rarely, never later than the moment it counts as lost, and then sent again."""
    clock = MovableClock()
    tracker = ReadBackTracker(LangfuseClient(settings("http://127.0.0.1:9"), SharedTime(clock).runtime()), 100.0)
    first = tracker.record_missing(MESSAGE)
    clock.advance(70)
    second = tracker.record_missing(MESSAGE)
    clock.advance(30)
    lost = tracker.record_missing(MESSAGE)
    assert [each.state for each in (first, second, lost)] == ["sent", "sent", "pending"]
    assert (first.wait, second.wait) == (0.2, 30.0) and "not stored 100 s later" in lost.reason
    assert tracker.record_missing(MESSAGE).state == "sent"  # sent again, it has its full time again


def test_a_score_that_was_found_starts_anew() -> None:
    """The time of an earlier wait does not count for a later one."""
    clock = MovableClock()
    tracker = ReadBackTracker(LangfuseClient(settings("http://127.0.0.1:9"), SharedTime(clock).runtime()), 100.0)
    tracker.record_missing(MESSAGE)
    assert tracker.record_found(MESSAGE) == Receipt(MESSAGE.key, "verified")
    clock.advance(100)
    assert tracker.record_missing(MESSAGE).state == "sent"


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
