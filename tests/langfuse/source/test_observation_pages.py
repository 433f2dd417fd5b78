"""Observations: every row comes once, whatever the server does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.errors import BadAnswer, ConfigError, RateLimited, Unavailable
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_errors import QueryTooBroad
from shared.langfuse.api.read_queries import ObservationPage, ObservationQuery, Row
from tests.langfuse.clients import client_of, collect, run_with_client
from tests.langfuse.fake_server.faults import (
    BROKEN,
    CUT,
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
from tests.langfuse.fake_server.traffic import trace, traces
from tests.langfuse.fake_server.wire import START

READ = "GET /api/public/v2/observations"
HOUR = ObservationQuery(since=START - timedelta(hours=1))


def filled(server: FakeLangfuse, count: int = 40, spans: int = 3) -> list[str]:
    """Ids of what was put in, in no order."""
    ids = []
    for rows in traces(count, spans):
        server.observations.add(*rows)
        ids += [str(row["id"]) for row in rows]
    return sorted(ids)


def read(server: FakeLangfuse, query: ObservationQuery, **given: Any) -> list[Row]:
    return run_with_client(server, lambda client: collect(client.observations(query)), **given)


async def pages_from(query: ObservationQuery, resume: str | None, client: LangfuseClient) -> list[ObservationPage]:
    return await collect(client.observation_pages(query, resume))


def ids_of(rows: list[Row]) -> list[str]:
    return sorted(str(row["id"]) for row in rows)


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_pages_of_any_size_give_every_row_once(size: int) -> None:
    with run_fake_langfuse() as server:
        ids = filled(server)
        assert ids_of(read(server, ObservationQuery(since=HOUR.since, page_size=size))) == ids


def test_only_the_fields_that_are_asked_for_come() -> None:
    with run_fake_langfuse() as server:
        server.observations.add(*trace(1))
        row = read(server, ObservationQuery(fields=("io",)))[0]
        assert {"id", "traceId", "startTime", "input", "output"} <= row.keys()
        assert not {"name", "metadata", "tags"} & row.keys()


def test_conditions_hold_together_also_where_a_filter_takes_their_place() -> None:
    with run_fake_langfuse() as server:
        filled(server, 60)
        query = ObservationQuery(
            since=START - timedelta(seconds=50), until=START - timedelta(seconds=10), type="SPAN", user_id="u3"
        )
        plain = read(server, query)
        assert plain and {row["userId"] for row in plain} == {"u3"}
        tagged = read(server, replace(query, tags=("live",)))
        assert ids_of(tagged) == ids_of(plain)
        some = read(server, replace(query, tags=("live", "tag0")))
        assert 0 < len(some) < len(plain)


def test_environments_levels_and_roots_are_told_apart() -> None:
    with run_fake_langfuse() as server:
        base = {"traceId": "t", "startTime": "2026-11-20T11:30:00Z"}
        server.observations.add({**base, "id": "a", "environment": "prod", "level": "ERROR"})
        server.observations.add({**base, "id": "b", "environment": "dev", "parentObservationId": "a"})
        server.observations.add(
            {**base, "id": "c", "environment": "dev", "parentObservationId": "x"} | {"isRootObservation": True}
        )
        assert ids_of(read(server, ObservationQuery(environments=("prod", "stage")))) == ["a"]
        assert ids_of(read(server, ObservationQuery(root_only=True))) == ["a", "c"]
        assert ids_of(read(server, ObservationQuery(level="ERROR"))) == ["a"]
        where = {"type": "string", "column": "environment", "operator": "=", "value": "dev"}
        assert ids_of(read(server, ObservationQuery(where=(where,), root_only=True))) == ["c"]


@pytest.mark.parametrize("fault", [BROKEN, CUT, UNAVAILABLE, busy(3), Fault(cut=True, body=b'{"data": [')])
def test_a_fault_in_the_middle_loses_and_doubles_nothing(fault: Fault) -> None:
    with run_fake_langfuse() as server:
        ids = filled(server)

        async def work(client: LangfuseClient) -> list[Row]:
            rows: list[Row] = []
            async for page in client.observation_pages(ObservationQuery(since=HOUR.since, page_size=30)):
                rows += page.rows
                if len(rows) == 60:
                    server.faults.add(READ, fault, fault)
            return rows

        assert ids_of(run_with_client(server, work)) == ids
        assert server.asked[READ] == 1 + 4 + 2


def test_a_query_that_is_too_broad_is_halved_until_it_is_not() -> None:
    with run_fake_langfuse() as server:
        ids = filled(server, 300)
        server.observations.too_broad_above = 40.0
        assert ids_of(read(server, ObservationQuery(since=HOUR.since, until=START))) == ids
        refused = server.statuses[524]
        assert refused < 15 and server.asked[READ] < 150  # 90 windows would be the fewest


@pytest.mark.parametrize("query", [HOUR, ObservationQuery()])
def test_an_answer_that_would_be_too_large_is_asked_for_in_parts(query: ObservationQuery) -> None:
    with run_fake_langfuse() as server:
        ids = filled(server, 300)
        assert ids_of(read(server, query, max_response_mb=0.02)) == ids
        server.faults.add(READ, Fault(200, b'{"data": [], "meta": {}}'), TOO_LARGE)  # or the server says it: 413
        assert ids_of(read(server, query)) == ids


def test_a_first_window_spares_the_server_what_is_known_to_be_too_much() -> None:
    with run_fake_langfuse() as server:
        ids = filled(server, 300)
        server.observations.too_broad_above = 3000.0
        assert ids_of(read(server, replace(HOUR, first_window=60.0))) == ids
        assert not server.statuses[524]


def test_a_window_that_becomes_too_broad_in_the_middle_goes_on_where_it_was() -> None:
    with run_fake_langfuse() as server:
        same = [{"id": f"o{n:02}", "traceId": f"t{n % 5}", "startTime": "2026-11-20T11:40:00.123Z"} for n in range(50)]
        server.observations.add(*same)
        ids = sorted([*filled(server), *(row["id"] for row in same)])

        async def work(client: LangfuseClient) -> list[Row]:
            rows: list[Row] = []
            async for page in client.observation_pages(ObservationQuery(since=HOUR.since, page_size=30)):
                rows += page.rows
                if len(rows) in (30, 150):  # the second lies within the rows of one millisecond
                    server.faults.add(READ, TOO_BROAD)
            return rows

        assert ids_of(run_with_client(server, work)) == ids


def test_what_stays_too_broad_is_an_error_with_a_cure() -> None:
    with run_fake_langfuse() as server:
        filled(server, 3)
        server.observations.too_broad_above = 0.0
        with pytest.raises(QueryTooBroad, match="ask for fewer fields"):
            read(server, ObservationQuery(since=HOUR.since, until=START))
        with pytest.raises(QueryTooBroad, match="since"):
            read(server, ObservationQuery())


def test_a_server_that_never_answers_a_read_is_asked_for_less_and_then_left() -> None:
    with run_fake_langfuse() as server:
        filled(server, 3)
        server.faults.add(READ, Fault(200, b'{"data": [], "meta": {}}'), STUCK)
        rows = read(server, ObservationQuery(since=HOUR.since), timeout=0.2)
        assert len(rows) == 9


@pytest.mark.parametrize("endless", ["same", "fresh"])
def test_cursors_that_never_end_are_an_error_not_a_loop(endless: str) -> None:
    with run_fake_langfuse() as server:
        filled(server)
        server.observations.endless = endless
        with pytest.raises(BadAnswer, match="circle"):
            read(server, ObservationQuery(since=HOUR.since, page_size=10))
        assert server.asked[READ] < 8


def test_a_read_goes_on_behind_any_of_its_pages() -> None:
    with run_fake_langfuse() as server:
        ids = filled(server)
        query = ObservationQuery(since=HOUR.since, page_size=25)
        pages = run_with_client(server, lambda client: collect(client.observation_pages(query)))
        assert [len(page.rows) for page in pages] == [25, 25, 25, 25, 20] and pages[-1].resume is None
        for place, resume in enumerate([page.resume for page in pages[:-1]]):
            rest = run_with_client(server, partial(pages_from, query, resume))
            assert ids_of([row for each in (*pages[: place + 1], *rest) for row in each.rows]) == ids
        with pytest.raises(ConfigError, match="expected the `resume` of an earlier page"):
            run_with_client(server, lambda client: collect(client.observation_pages(query, "nonsense")))


def test_late_rows_are_seen_by_a_later_read() -> None:
    with run_fake_langfuse() as server:
        server.observations.add(*trace(1, 2))
        server.observations.add(*trace(2, 2), visible_at=START + timedelta(minutes=10))
        assert len(read(server, HOUR)) == 2
        server.clock.advance(600)
        assert len(read(server, HOUR)) == 4


@pytest.mark.parametrize("plan", [Plan("3.225.3"), Plan("4.16.0", mode="legacy")], ids=["v3", "v4 legacy"])
def test_an_older_server_gives_the_same_rows(plan: Plan) -> None:
    query = ObservationQuery(since=HOUR.since, fields=("basic", "io", "trace_context"), user_id="u3", tags=("live",))
    with run_fake_langfuse() as new, run_fake_langfuse(plan) as old:
        for server in (new, old):
            filled(server, 30)
        names = ("id", "traceId", "startTime", "name", "type", "input", "output", "sessionId", "tags", "traceName")
        expected, found = ([{name: row[name] for name in names} for row in read(each, query)] for each in (new, old))
        assert found and sorted(found, key=str) == sorted(expected, key=str)
        assert not old.asked[READ] or old.asked[READ] == 1  # the probe


def test_pages_of_an_older_server_may_hold_nothing_that_is_wanted() -> None:
    with run_fake_langfuse(Plan("3.225.3")) as server:
        server.observations.add(*trace(1, 2, START - timedelta(hours=1)))
        filled(server, 12)
        query = ObservationQuery(since=START - timedelta(hours=2), until=START - timedelta(minutes=30), page_size=1)
        assert len(read(server, query)) == 2
        assert len(read(server, ObservationQuery(since=START - timedelta(hours=2), page_size=2, session_id="s4"))) == 6


def test_a_cursor_without_rows_is_an_error() -> None:
    with run_fake_langfuse() as server:
        empty = Fault(200, b'{"data": [], "meta": {}}')
        server.faults.add(READ, empty, Fault(200, b'{"data": [], "meta": {"cursor": "x"}}'))
        with pytest.raises(BadAnswer, match="no end"):
            read(server, HOUR)


def test_an_older_server_says_what_it_cannot_do() -> None:
    with run_fake_langfuse(Plan("3.225.3")) as server:
        where = {"type": "string", "column": "name", "operator": "=", "value": "x"}
        with pytest.raises(ConfigError, match="too old"):
            read(server, ObservationQuery(where=(where,)))


def test_synchronous_callers_read_pages_too() -> None:
    with run_fake_langfuse() as server:
        ids = filled(server)
        client = client_of(server)
        found: list[ObservationPage] = list(
            client.each(client.observation_pages(ObservationQuery(since=HOUR.since, page_size=50)))
        )
        client.close()
        assert ids_of([row for page in found for row in page.rows]) == ids


def test_a_server_that_stays_down_is_unavailable_after_its_tries() -> None:
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: None if request.path.endswith("health") else BROKEN
        with pytest.raises(Unavailable, match="answered 500"):
            read(server, HOUR, tries=3)
        assert server.asked[READ] == 3


async def stubborn(client: LangfuseClient, query: ObservationQuery) -> list[Row]:
    """Reads on from the last page whenever the server is down for too long."""
    rows: list[Row] = []
    resume: str | None = None
    for _ in range(60):
        try:
            async for page in client.observation_pages(query, resume):
                rows += page.rows
                resume = page.resume
            return rows
        except (Unavailable, RateLimited):
            continue
    return rows


@settings(max_examples=25)
@given(
    plan=st.sampled_from([Plan(), Plan("3.225.3"), Plan(limits={"general": 12})]),
    seed=st.integers(0, 10_000),
    share=st.floats(0.0, 0.3),
    size=st.integers(5, 60),
    broad=st.sampled_from([None, 5.0, 33.3]),
)
def test_random_faults_lose_and_double_no_row(
    plan: Plan, seed: int, share: float, size: int, broad: float | None
) -> None:
    with run_fake_langfuse(plan) as server:
        ids = filled(server, 30, 2)
        same = [{"id": f"o{n}", "traceId": "t", "startTime": "2026-11-20T11:59:45.5Z"} for n in range(20)]
        server.observations.add(*same)
        server.observations.too_broad_above = broad
        faults = (BROKEN, CUT, UNAVAILABLE, TOO_BROAD, busy(2), Fault(cut=True, body=b'{"data": [{"id"'))
        server.faults.chance = at_random(seed, share, *faults)
        query = ObservationQuery(since=START - timedelta(minutes=2), until=START, page_size=size)
        rows = run_with_client(server, lambda client: stubborn(client, query))
        assert ids_of(rows) == sorted([*ids, *(str(row["id"]) for row in same)])
