"""The sink `langfuse`: every score arrives once, under an id and a time that never change."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.errors import FatalError
from shared.core.ports import Batch
from shared.core.results import ItemResult
from shared.core.state.outbox import MessageSink, PackedBatch
from shared.langfuse.sink.build_scores import MAX_COMMENT_LENGTH, ScoreContext
from shared.langfuse.sink.score_sink import LOST_AFTER, LangfuseSink
from tests.langfuse.batches import batch, failed, item, made, ref, run, scored
from tests.langfuse.clients import client_of
from tests.langfuse.driving import MemoryOutbox
from tests.langfuse.fake_server.faults import (
    BROKEN,
    BROKEN_AFTER,
    CUT,
    CUT_AFTER,
    SLOW,
    TOO_BROAD,
    UNAVAILABLE,
    Fault,
    at_random,
    busy,
)
from tests.langfuse.fake_server.plan import PROJECT, Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import START

SERVERS = [("4.60.0", "auto"), ("4.16.0", "auto"), ("4.16.0", "ingestion"), ("3.225.3", "auto"), ("3.150.0", "auto")]


def sink_of(server: FakeLangfuse, context: ScoreContext | None = None, **given: Any) -> MessageSink:
    return LangfuseSink(client_of(server, **given), context)


def packed(given: Batch, context: ScoreContext | None = None) -> PackedBatch:
    with run_fake_langfuse() as server:
        return sink_of(server, context).pack(given)


def outbox(server: FakeLangfuse, size: int = 200, **given: Any) -> MemoryOutbox:
    return MemoryOutbox(lambda: sink_of(server, **given), server.clock, size)


def stored(server: FakeLangfuse) -> dict[str, float]:
    """Values by id; asserts that nothing stands twice."""
    rows = list(server.scores.rows.values())
    found = {row["id"]: row["value"] for row in rows}
    assert len(found) == len(rows)
    return found


def wanted(batch: Batch) -> dict[str, float]:
    return {each.key: each.body["score"]["value"] for each in packed(batch).messages}


def test_a_score_carries_all_that_is_known_of_it() -> None:
    score = made(explanation="it is so", signals={"hits": [1, 2], "odd": math.nan}, model="m", cost=0.01)
    message = packed(batch([ItemResult(item(1), (score,))]), ScoreContext(PROJECT, "prod", ("t",))).messages[0]
    body = message.body["score"]
    assert (message.item_id, message.label, message.key) == ("i1", "Exact", body["id"])
    assert (body["name"], body["value"], body["dataType"], body["environment"]) == ("Exact", 1.0, "NUMERIC", "prod")
    assert body["traceId"] == f"{1:032x}" and "observationId" not in body
    assert body["timestamp"] == "2026-11-20T10:59:00.000000Z"
    assert body["comment"] == 'it is so\n\n--- Signals ---\n{"hits":[1,2],"odd":null}'
    assert body["metadata"] == {
        **{"label": "Exact", "class": "exact_match", "metric_version": "1", "metric_digest": "d1", "model": "m"},
        **{"run_id": "quality-1", "monitor": "quality", "item_id": "i1", "threshold": 0.5, "passed": True},
        **{"cost": 0.01, "tags": ["t"]},
    }
    assert json.loads(json.dumps(message.body)) == message.body  # as a database keeps it


def test_a_score_goes_to_the_observation_else_the_trace_else_the_session() -> None:
    items = [
        item(1, observation_id="o1", session_id="s1"),
        item(2, session_id="s1"),
        item(3, trace_id=None, session_id="s1"),
        item(4, trace_id=None, observation_id="o1"),
    ]
    found = packed(batch([ItemResult(each, (made(),)) for each in items]))
    subjects = [
        {name: each.body["score"].get(name) for name in ("traceId", "observationId", "sessionId")}
        for each in found.messages
    ]
    assert subjects == [
        {"traceId": f"{1:032x}", "observationId": "o1", "sessionId": None},
        {"traceId": f"{2:032x}", "observationId": None, "sessionId": None},
        {"traceId": None, "observationId": None, "sessionId": "s1"},
    ]
    assert [(each.item_id, each.label, each.reason) for each in found.skipped] == [
        ("i4", "Exact", "the item has no trace_id and no session_id")
    ]


def test_what_is_no_score_is_not_sent() -> None:
    scores = (made(value=math.nan), made("Wide", math.inf), made("", 0.5))
    found = packed(batch([ItemResult(item(1), scores, (failed(),))]))
    assert not found.messages
    assert [each.reason for each in found.skipped] == [
        "the score is not a finite number (nan)",
        "the score is not a finite number (inf)",
        "id and name must not be empty",
    ]


def test_ids_are_the_same_in_every_run_and_differ_with_all_that_makes_a_score_another() -> None:
    def key(number: int = 1, report: Any = None, context: ScoreContext | None = None, **given: Any) -> str:
        results = [ItemResult(item(number), (made(**given),))]
        return packed(batch(results, report), context).messages[0].key

    assert key() == key(report=run(2, START + timedelta(days=3)), value=0.25)
    others = [
        *(key(2), key(label="Other"), key(metric=ref(digest="d2")), key(context=ScoreContext("p2"))),
        *(key(parent="Whole"), key(metric=ref("Exact", "d3"))),
    ]
    assert len({key(), *others}) == 7


def test_a_score_of_an_item_without_time_has_that_of_the_run_that_packed_it() -> None:
    message = packed(batch([ItemResult(item(1, at=None), (made(),))])).messages[0]
    assert message.body["score"]["timestamp"].startswith("2026-11-20T12:00:00")


def test_a_comment_that_is_too_long_is_cut_and_says_so() -> None:
    message = packed(batch([ItemResult(item(1), (made(explanation="x" * 2_000_000),))])).messages[0]
    comment = message.body["score"]["comment"]
    assert len(comment) < MAX_COMMENT_LENGTH + 100 and comment.endswith("[cut: 1,940,000 more characters]")


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"rejected": "x", "errors": null}', b'{"errors": ["odd", null]}'])
@pytest.mark.parametrize("by", ["array", "ingestion"])
def test_an_odd_207_is_no_end(body: bytes, by: str) -> None:
    """What it does not tell is read back."""
    with run_fake_langfuse() as server:
        route = "POST /api/public/scores" if by == "array" else "POST /api/public/ingestion"
        server.faults.add(route, Fault(207, body, done=True), Fault(207, body))
        box = outbox(server, scores_by=by)
        box.store(sink_of(server).pack(scored(3)))
        box.drain()
        assert box.states() == {"verified": 6}
        assert stored(server) == wanted(scored(3))


def test_half_an_emoji_in_a_signal_is_sent_as_a_question_mark() -> None:
    """As texts that were cut have it; it must not hold up its batch."""
    message = packed(batch([ItemResult(item(1), (made(signals={"quoted": "cut \ud83d"}),))])).messages[0]
    assert message.body["score"]["comment"] == '--- Signals ---\n{"quoted":"cut ?"}'


@pytest.mark.parametrize(("version", "by"), SERVERS)
def test_every_server_stores_every_score_once(version: str, by: str) -> None:
    with run_fake_langfuse(Plan(version)) as server:
        given = scored(30)
        box = outbox(server, scores_by=by)
        box.store(sink_of(server).pack(given))
        box.drain()
        assert box.states() == {"verified": 60}
        assert stored(server) == wanted(given)
        box.store(sink_of(server).pack(given))
        assert box.states() == {"verified": 60}


def drop_some(server: FakeLangfuse, share: float, seed: int = 0, most: int = 40) -> None:
    """Of what is accepted, lose a share, up to so many."""
    rng = Random(seed)
    server.scores.drops = lambda: server.scores.dropped < most and rng.random() < share


FAULTS = [BROKEN, BROKEN_AFTER, CUT, CUT_AFTER, UNAVAILABLE, TOO_BROAD, SLOW, busy(2), busy(400)]


@pytest.mark.parametrize(("version", "by"), SERVERS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.status}{fault.done}{fault.cut}{fault.late}")
def test_each_fault_alone_loses_and_doubles_nothing(version: str, by: str, fault: Fault) -> None:
    with run_fake_langfuse(Plan(version)) as server:
        given = scored(6)
        box = outbox(server, size=5, scores_by=by)
        box.store(sink_of(server).pack(given))
        for route in ("POST /api/public/scores", "POST /api/public/ingestion", "GET /api/public/v3/scores"):
            server.faults.add(route, *[fault] * 3)
        box.drain()
        assert box.states() == {"verified": 12}
        assert stored(server) == wanted(given)


def test_a_score_that_is_accepted_and_never_stored_is_sent_again() -> None:
    with run_fake_langfuse() as server:
        given = scored(20)
        drop_some(server, 0.3)
        box = outbox(server)
        box.store(sink_of(server).pack(given))
        box.drain(fresh=True)
        assert server.scores.dropped > 0
        assert box.states() == {"verified": 40} and stored(server) == wanted(given)
        assert server.clock() - START >= timedelta(seconds=LOST_AFTER)


def test_a_score_that_is_slow_to_appear_is_not_sent_again() -> None:
    with run_fake_langfuse(Plan(score_delay=600)) as server:
        box = outbox(server)
        box.store(sink_of(server).pack(scored(5)))
        box.drain()
        assert box.states() == {"verified": 10} and server.scores.posts == 10


def test_a_rejected_score_fails_alone_with_the_servers_reason() -> None:
    with run_fake_langfuse() as server:
        given = scored(10)
        box = outbox(server)
        box.store(sink_of(server).pack(given))
        wrong = next(iter(box.rows))
        server.scores.reject = {wrong}
        box.drain()
        assert box.states() == {"verified": 19, "failed": 1}
        assert "cannot be stored" in box.rows[wrong].reason


def test_limits_are_kept_while_publishing() -> None:
    with run_fake_langfuse(Plan("4.16.0", limits={"general": 10})) as server:
        box = outbox(server, size=1, limits={"general": 10})
        box.store(sink_of(server).pack(scored(15)))
        box.drain()
        assert box.states() == {"verified": 30} and server.windows.refusals == 0


@pytest.mark.parametrize(
    ("plan", "given", "said"),
    [
        (Plan(secret_key="another"), {}, "check public_key, secret_key and base_url"),
        (Plan("2.95.0"), {}, "3.0 or newer is needed"),
    ],
)
def test_wrong_keys_and_old_servers_stop_the_sink(plan: Plan, given: dict[str, Any], said: str) -> None:
    with run_fake_langfuse(plan) as server:
        sink = sink_of(server, **given)
        messages = sink.pack(scored(1)).messages

        async def send() -> None:
            try:
                await sink.send(messages)
            finally:
                await sink.aclose()

        with pytest.raises(FatalError, match=said):
            asyncio.run(send())


def test_keys_of_another_project_are_refused() -> None:
    with run_fake_langfuse() as server:
        right, wrong = ScoreContext(PROJECT), ScoreContext("another")
        box = MemoryOutbox(lambda: sink_of(server, wrong), server.clock)
        box.store(sink_of(server, wrong).pack(scored(1)))
        with pytest.raises(FatalError, match="belong to project 'proj1'; expected 'another'"):
            box.drain()
        moved = MemoryOutbox(lambda: sink_of(server, right), server.clock)
        moved.store(sink_of(server, wrong).pack(scored(1)))
        moved.drain()
        assert moved.states() == {"failed": 2} and not stored(server)


@pytest.mark.parametrize(("before", "now"), [("", PROJECT), (PROJECT, "")])
def test_naming_the_project_while_scores_wait_strands_none(before: str, now: str) -> None:
    with run_fake_langfuse() as server:
        given = packed(scored(1), ScoreContext(before))
        box = MemoryOutbox(lambda: sink_of(server, ScoreContext(now)), server.clock)
        box.store(given)
        box.drain()
        assert box.states() == {"verified": 2}
        assert stored(server).keys() == {each.key for each in given.messages}


@settings(max_examples=20)
@given(
    plan=st.sampled_from([(*server, delay) for server in SERVERS for delay in (0.0, 3.0, 120.0)]),
    seed=st.integers(0, 10_000),
    share=st.floats(0.0, 0.5),
    dropped=st.floats(0.0, 0.2),
    size=st.integers(1, 60),
    fresh=st.booleans(),
)
def test_random_faults_lose_and_double_nothing(
    plan: tuple[str, str, float], seed: int, share: float, dropped: float, size: int, fresh: bool
) -> None:
    with run_fake_langfuse(Plan(plan[0], score_delay=plan[2])) as server:
        given = scored(15)
        drop_some(server, dropped, seed)
        server.faults.chance = at_random(seed, share, *FAULTS)
        box = outbox(server, size=size, scores_by=plan[1])
        box.store(sink_of(server).pack(given))
        box.drain(rounds=5000, fresh=fresh)
        assert box.states() == {"verified": 30}
        assert stored(server) == wanted(given)
