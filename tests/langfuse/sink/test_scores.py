"""Scores: each is told what became of it, and none is lost or doubled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.langfuse.api.langfuse_score import LangfuseScore, SendOutcome, score_id
from shared.langfuse.api.read_queries import Row, ScoreQuery
from tests.langfuse.clients import client_of, collect, run_with_client, score
from tests.langfuse.fake_server.faults import (
    BROKEN,
    BROKEN_AFTER,
    CUT,
    CUT_AFTER,
    STUCK,
    TOO_BROAD,
    TOO_LARGE,
    UNAVAILABLE,
    Fault,
    at_random,
    busy,
)
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse

POST = "POST /api/public/scores"
PLANS = [Plan("4.60.0"), Plan("4.16.0"), Plan("4.16.0", mode="dual"), Plan("3.225.3"), Plan("3.150.0")]
NAMES = [f"{plan.version} {plan.mode}" for plan in PLANS]


def post(server: FakeLangfuse, scores: Iterable[LangfuseScore], **given: Any) -> list[SendOutcome]:
    return run_with_client(server, lambda client: client.post_scores(scores), **given)


def read(server: FakeLangfuse, query: ScoreQuery) -> list[Row]:
    return run_with_client(server, lambda client: collect(client.read_scores(query)))


def statuses(outcomes: Iterable[SendOutcome]) -> list[str]:
    return [each.status for each in outcomes]


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_every_dialect_stores_what_it_is_given(plan: Plan) -> None:
    with run_fake_langfuse(plan) as server:
        given = [
            *(score(n, n / 10) for n in range(25)),
            score(30, 1, data_type="BOOLEAN"),
            score(31, "good", data_type="CATEGORICAL", trace_id=None, session_id="s1"),
            score(32, "x" * 500, data_type="TEXT", observation_id="o1", comment="c", metadata={"m": 1}),
            score(33, 0.5, trace_id=None, experiment_id="e1", environment="prod"),
        ]
        assert statuses(post(server, given, scores_per_post=10)) == ["accepted"] * len(given)
        rows = {
            row["id"]: row for row in run_with_client(server, lambda client: collect(client.read_scores(ScoreQuery())))
        }
        assert len(rows) == len(server.scores.stored()) == len(given)
        assert all(each.matches(rows[each.id]) for each in given)
        assert rows[given[-1].id]["subject"] == {"kind": "experiment", "id": "e1"}
        assert rows[given[-2].id]["subject"] == {"kind": "observation", "id": "o1", "traceId": "t32"}
        assert server.asked[POST] == (3 if plan.arrays else len(given))


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_a_score_that_is_sent_again_replaces_itself(plan: Plan) -> None:
    with run_fake_langfuse(plan) as server:
        post(server, [score(1, 0.25)])
        server.clock.advance(2 * 86_400)
        post(server, [score(1, 0.75)])
        assert [row["value"] for row in server.scores.stored()] == [0.75]


def test_ingestion_is_there_for_servers_that_have_nothing_better() -> None:
    with run_fake_langfuse(Plan("4.16.0")) as server:
        server.scores.reject = {score(1).id}
        outcomes = post(server, [score(1), score(2)], scores_by="ingestion")
        assert statuses(outcomes) == ["rejected", "accepted"]
        assert "cannot be stored" in outcomes[0].reason
        assert server.asked["POST /api/public/ingestion"] == 1


@pytest.mark.parametrize("delay", [0.0, 3.0])
def test_a_207_is_resolved_score_by_score(delay: float) -> None:
    with run_fake_langfuse(Plan(score_delay=delay)) as server:
        given = [score(n) for n in range(40)]
        server.scores.reject = {given[3].id, given[17].id}
        outcomes = post(server, given)
        assert [n for n, each in enumerate(outcomes) if each.status == "rejected"] == [3, 17]
        assert statuses(outcomes).count("accepted") == 38
        assert given[3].id in outcomes[3].reason and given[17].id not in outcomes[3].reason
        assert server.asked[POST] == 1  # a 207 is not sent again


def test_a_207_that_cannot_be_read_back_yet_leaves_scores_unknown() -> None:
    with run_fake_langfuse(Plan(score_delay=900.0)) as server:
        given = [score(n) for n in range(4)]
        server.scores.reject = {given[0].id}
        assert statuses(post(server, given)) == ["unknown"] * 4
        server.clock.advance(900)
        server.scores.reject = set()
        assert statuses(post(server, given)) == ["accepted"] * 4
        assert len(server.scores.stored()) == 4


def test_a_rejected_change_is_not_taken_for_the_score_that_was_there() -> None:
    with run_fake_langfuse() as server:
        post(server, [score(1, 0.25), score(2, 0.25)])
        server.scores.reject = {score(1).id}
        assert statuses(post(server, [score(1, 0.75), score(2, 0.75)])) == ["rejected", "accepted"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"value": "x" * 600, "data_type": "TEXT"}, "600 characters; expected 1 to 500"),
        ({"value": "", "data_type": "TEXT"}, "non-empty string"),
        ({"value": math.nan}, "finite"),
        ({"value": 2, "data_type": "BOOLEAN"}, "0 or 1"),
        ({"session_id": "s"}, "exactly one"),
        ({"trace_id": None}, "exactly one"),
        ({"trace_id": None, "session_id": "s", "observation_id": "o"}, "needs trace_id"),
        ({"name": ""}, "must not be empty"),
        ({"environment": "langfuse-x"}, "not beginning with langfuse"),
        ({"comment": "x" * 1_100_000}, "bytes; expected at most"),
        ({"metadata": {"m": object()}}, "metadata"),
    ],
)
def test_what_no_server_takes_is_told_without_asking_one(wrong: dict[str, Any], said: str) -> None:
    with run_fake_langfuse() as server:
        outcomes = post(server, [score(1, **wrong), score(2)])
        assert statuses(outcomes) == ["rejected", "accepted"]
        assert said in outcomes[0].reason and "not sent" in outcomes[0].reason
        assert len(server.scores.stored()) == 1


def test_the_same_score_twice_in_one_call_is_told() -> None:
    with run_fake_langfuse() as server:
        assert statuses(post(server, [score(1, 0.1), score(1, 0.2)])) == ["accepted", "rejected"]


def test_requests_stay_below_a_megabyte() -> None:
    with run_fake_langfuse() as server:
        given = [score(n, comment="ä" * 100_000) for n in range(12)]
        assert statuses(post(server, given)) == ["accepted"] * 12
        assert max(len(each.body) for each in server.seen) < 1_048_576


def test_a_server_that_takes_less_gets_smaller_requests() -> None:
    with run_fake_langfuse() as server:
        server.faults.add(POST, TOO_LARGE, TOO_LARGE)
        assert statuses(post(server, [score(n) for n in range(8)])) == ["accepted"] * 8
        assert len(server.scores.stored()) == 8


def test_a_server_that_calls_itself_newer_than_it_is_gets_single_scores() -> None:
    with run_fake_langfuse(Plan("4.16.0")) as server:
        assert statuses(post(server, [score(1), score(2)], scores_by="array")) == ["accepted"] * 2


FAULTS = [BROKEN, BROKEN_AFTER, CUT, CUT_AFTER, UNAVAILABLE, TOO_BROAD, busy(2)]


@pytest.mark.parametrize("plan", PLANS[:2], ids=NAMES[:2])
@pytest.mark.parametrize("fault", [*FAULTS, Fault(200, b"<html><title>Login</title></html>")])
def test_one_fault_loses_and_doubles_nothing(plan: Plan, fault: Fault) -> None:
    with run_fake_langfuse(plan) as server:
        given = [score(n) for n in range(6)]
        server.faults.add(POST, fault)
        outcomes = post(server, given)
        again = [each for each, outcome in zip(given, outcomes, strict=True) if outcome.status == "unknown"]
        assert not again or fault.status == 200
        assert statuses(post(server, again)) == ["accepted"] * len(again)
        assert sorted(row["id"] for row in server.scores.stored()) == sorted(each.id for each in given)


def test_a_server_that_stays_down_leaves_every_score_unknown() -> None:
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: BROKEN if request.method == "POST" else None
        outcomes = post(server, [score(n) for n in range(5)], scores_per_post=2)
        assert statuses(outcomes) == ["unknown"] * 5
        assert "answered 500" in outcomes[0].reason


def test_a_server_that_does_not_answer_is_not_asked_for_every_score() -> None:
    """One by one, a hundred scores would each wait for all their tries."""
    with run_fake_langfuse(Plan("4.16.0")) as server:
        server.faults.chance = lambda request: BROKEN if request.method == "POST" else None
        outcomes = post(server, [score(n) for n in range(100)])
        assert statuses(outcomes) == ["unknown"] * 100
        assert server.asked[POST] <= (8 + 7) * 4  # those at work when the eighth was given up, and their tries
        assert "not sent, because earlier requests failed" in outcomes[-1].reason
        server.faults.chance = lambda request: BROKEN if request.path.endswith("/health") else None
        assert statuses(post(server, [score(n) for n in range(1000)])) == ["unknown"] * 1000
        assert server.asked["GET /api/public/health"] == 1 + 4


def test_a_wrong_key_ends_posting_at_once() -> None:
    with run_fake_langfuse(Plan(secret_key="another")) as server:
        with pytest.raises(ConfigError, match="secret_key"):
            post(server, [score(n) for n in range(50)], scores_per_post=1, max_concurrent=2)
        assert server.asked[POST] <= 2


@settings(max_examples=25)
@given(
    plan=st.sampled_from([("4.60.0", 0.0), ("4.60.0", 2.0), ("4.16.0", 0.0), ("3.225.3", 0.0)]),
    seed=st.integers(0, 10_000),
    share=st.floats(0.0, 0.6),
    rejected=st.sets(st.integers(0, 39), max_size=4),
    size=st.integers(1, 40),
)
def test_random_faults_lose_and_double_nothing(
    plan: tuple[str, float], seed: int, share: float, rejected: set[int], size: int
) -> None:
    with run_fake_langfuse(Plan(plan[0], score_delay=plan[1])) as server:
        given = [score(n, n / 64) for n in range(40)]
        server.scores.reject = {given[n].id for n in rejected}
        server.faults.chance = at_random(seed, share, *FAULTS)
        final: dict[str, str] = {}
        left = given
        for _ in range(30):
            outcomes = post(server, left, scores_per_post=size)
            final |= {each.id: each.status for each in outcomes}
            left = [each for each in left if final[each.id] == "unknown"]
            if not left:
                break
        server.faults.chance = lambda _: None
        stored = {row["id"]: row["value"] for row in server.scores.stored()}
        assert len(stored) == len(server.scores.stored())
        wanted = {each.id: each.value for each in given if each.id not in server.scores.reject}
        assert {key for key, status in final.items() if status == "accepted"} <= stored.keys()
        assert {key for key, status in final.items() if status == "rejected"} <= server.scores.reject
        assert stored == wanted or left
        assert not left or share > 0.4


def test_conditions_of_a_read_hold_on_both_kinds_of_server() -> None:
    for plan in (Plan(), Plan("3.150.0")):
        with run_fake_langfuse(plan) as server:
            post(server, [score(n, n) for n in range(120)])
            ids = tuple(score(n).id for n in range(115))
            found = read(server, ScoreQuery(ids=ids))
            assert sorted(row["id"] for row in found) == sorted(ids)
            query = ScoreQuery(names=("exact",), trace_ids=("t3", "t4", "t999"), sources=("API",))
            found = read(server, query)
            assert sorted(row["subject"]["id"] for row in found) == ["t3", "t4"]
    with pytest.raises(ConfigError, match="trace_ids"):
        ScoreQuery(observation_ids=("o",))


def test_what_is_stored_can_be_verified() -> None:
    with run_fake_langfuse(Plan(score_delay=5)) as server:
        given = [score(n) for n in range(130)]
        post(server, given[:129])
        client = client_of(server)
        try:
            assert not client.wait(client.stored_scores(given))
            server.clock.advance(5)
            assert client.wait(client.stored_scores(given)) == {each.identity for each in given[:129]}
        finally:
            client.close()


def test_a_score_that_is_deleted_is_gone() -> None:
    with run_fake_langfuse() as server:
        post(server, [score(1), score(2)])
        run_with_client(server, lambda client: client.delete_score(score(1).id))
        assert [row["id"] for row in server.scores.stored()] == [score(2).id]


def test_an_id_is_the_same_in_every_run_and_differs_with_every_part() -> None:
    assert score_id("p", "t1", "exact") == "2c66b03e-bbc9-5f9e-ab4c-27a90165cf50"
    assert len({score_id("a", "b"), score_id("ab", ""), score_id("", "ab"), score_id("b", "a")}) == 4


def test_the_identity_is_the_utc_date() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert score(1, timestamp=late).identity[2] == "2026-03-02"


def test_a_stuck_server_leaves_scores_unknown_and_sending_again_is_safe() -> None:
    with run_fake_langfuse() as server:
        server.faults.add(POST, STUCK)
        outcomes = post(server, [score(1)], timeout=0.2, tries=1)
        assert statuses(outcomes) == ["unknown"]
        assert statuses(post(server, [score(1)])) == ["accepted"]
