"""Rate limits: none is met where the plan is known, and else only the one that teaches it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import RateLimited
from shared.http.client_runtime import ClientRuntime
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.read_queries import ObservationQuery
from tests.langfuse.clients import SharedTime, client_of, collect, run_with_client, score, settings
from tests.langfuse.fake_server.faults import busy
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.traffic import trace
from tests.langfuse.fake_server.wire import START

ONE = ObservationQuery(since=START - timedelta(hours=1), page_size=1)


async def reads(client: LangfuseClient, times: int) -> int:
    """So many requests of the general bucket, and one for the probe of a new client."""
    return sum([len(await collect(client.observations(ONE))) for _ in range(times)])


def hobby(**given: Any) -> Plan:
    return Plan(limits={"general": 30}, **given)


def filled(server: FakeLangfuse) -> None:
    server.observations.add(*trace(1, 1, START - timedelta(minutes=5)))


def test_a_known_limit_is_never_met() -> None:
    with run_fake_langfuse(hobby()) as server:
        filled(server)
        assert run_with_client(server, lambda client: reads(client, 99), limits={"general": 30}) == 99
        assert server.windows.refusals == 0
        minutes = (server.clock() - START).total_seconds() / 60
        assert 3.0 <= minutes < 3.1  # 100 requests, 29 to a window


def test_an_unknown_limit_is_met_once_and_then_known() -> None:
    with run_fake_langfuse(hobby()) as server:
        filled(server)
        assert run_with_client(server, lambda client: reads(client, 99)) == 99
        assert server.windows.refusals == 1
        assert (server.clock() - START).total_seconds() < 60 * 3.1


def test_scores_and_reads_are_paid_from_one_budget_and_prompts_from_none() -> None:
    with run_fake_langfuse(hobby()) as server:

        async def work(client: LangfuseClient) -> None:
            await reads(client, 10)
            for number in range(15):
                await client.post_scores([score(number)])
            for number in range(50):
                await client.datasets.create(f"d{number}")

        run_with_client(server, work, limits={"general": 30})
        assert server.clock() == START  # 1 + 10 + 15 fit into the window, and datasets are counted apart


def test_two_processes_share_what_is_left_through_a_file(tmp_path: Path) -> None:
    with run_fake_langfuse(hobby()) as server:
        filled(server)
        time = SharedTime(server.clock)
        given = settings(server.url, limits_file=str(tmp_path / "deep" / "limits.json"))

        async def work() -> None:
            clients = [LangfuseClient(given, time.runtime(seed)) for seed in range(2)]
            for _ in range(40):
                for client in clients:
                    await reads(client, 1)
            await asyncio.gather(*(client.aclose() for client in clients))

        asyncio.run(work())
        assert server.windows.refusals == 1
        text = (tmp_path / "deep" / "limits.json").read_text()
        assert "pk-lf" not in text and '"limit' not in text  # names are digests


def test_key_pairs_of_one_organisation_may_share_a_name(tmp_path: Path) -> None:
    with run_fake_langfuse() as server:
        time = SharedTime(server.clock)
        for seed in range(2):
            given = settings(
                server.url, limits_file=str(tmp_path / "limits.json"), limits={"general": 3}, organisation="acme"
            )
            client = LangfuseClient(given, time.runtime(seed))
            client.wait(reads(client, 1))
            client.close()
        assert sum(time.slept) > 59  # four requests, two to a window


def test_a_retry_after_is_kept_to_the_second() -> None:
    with run_fake_langfuse() as server:
        filled(server)
        server.faults.add("GET /api/public/v2/observations", busy(17))
        run_with_client(server, lambda client: reads(client, 1))
        assert 17 <= (server.clock() - START).total_seconds() < 18


def test_a_wait_that_is_too_long_is_an_error_at_once() -> None:
    with run_fake_langfuse() as server:
        filled(server)
        server.faults.add("GET /api/public/v2/observations", busy(86_400))
        client = client_of(server, max_wait=60)
        with pytest.raises(RateLimited, match="86400 s"):
            client.wait(reads(client, 1))
        with pytest.raises(RateLimited, match="used up"):
            client.wait(reads(client, 1))
        client.close()
        assert server.asked["GET /api/public/v2/observations"] == 1
        assert server.clock() == START


def test_a_learnt_limit_is_forgotten_after_an_hour_so_that_a_larger_plan_is_noticed() -> None:
    with run_fake_langfuse(hobby()) as server:
        filled(server)
        client = client_of(server)
        client.wait(reads(client, 40))
        server.clock.advance(3700)
        server.plan.limits["general"] = 1000
        before = server.clock()
        client.wait(reads(client, 200))
        client.close()
        assert server.clock() == before


def test_a_file_from_before_the_machine_s_last_start_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    with run_fake_langfuse(hobby()) as server:
        filled(server)
        server.faults.add("GET /api/public/v2/observations", busy(30))
        run_with_client(server, lambda client: reads(client, 1), limits_file=str(file))
        held = file.read_text()
        assert ".hold" in held
        server.clock.advance(7200)
        time = SharedTime(server.clock)
        later = ClientRuntime(lambda: 5.0, server.clock, time.sleep)  # the clock of a machine that has just started
        client = LangfuseClient(settings(server.url, limits_file=str(file)), later)
        assert client.wait(reads(client, 1)) == 1 and not time.slept
        client.close()
