"""What is told when it cannot go on: where, what was found, what to do; and never a key."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from shared.core.errors import BadAnswer, ConfigError, TruelineError, Unavailable
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_errors import EndpointMissing, NotFound, Refused
from shared.langfuse.api.read_queries import ObservationQuery
from tests.langfuse.clients import client_of, collect, run_with_client, score, settings
from tests.langfuse.fake_server.faults import FORBIDDEN, Fault
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY, Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse

READ = "GET /api/public/v2/observations"


def failing(server: FakeLangfuse, kind: type[TruelineError], **given: Any) -> str:
    with pytest.raises(kind) as caught:
        run_with_client(server, lambda client: collect(client.observations(ObservationQuery())), **given)
    return str(caught.value)


def test_a_wrong_key_names_the_keys_and_the_host() -> None:
    with run_fake_langfuse(Plan(secret_key="another")) as server:
        said = failing(server, ConfigError)
        assert "Confirm that you've configured the correct host" in said and "secret_key" in said
        assert server.asked[READ] == 1


def test_keys_are_sent_without_the_line_break_that_files_of_secrets_end_in() -> None:
    with run_fake_langfuse() as server:
        keys = {"public_key": SecretStr(f"{PUBLIC_KEY}\n"), "secret_key": SecretStr(f" {SECRET_KEY}\r\n")}
        assert run_with_client(server, lambda client: client.project_id(), **keys) == "proj1"


@pytest.mark.parametrize("key", ["public_key", "secret_key"])
@pytest.mark.parametrize("value", ["k-li\nne", "k-li\x00", SecretStr("k-li\rne"), "\n"])
def test_a_key_that_cannot_be_one_is_refused_unseen(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=r"is a control or non-ASCII character|found an empty key") as caught:
        settings("http://127.0.0.1:1", **{key: value})
    assert "k-li" not in str(caught.value)


def test_keys_without_the_right_are_told_so() -> None:
    with run_fake_langfuse() as server:
        server.faults.add(READ, FORBIDDEN)
        assert "these keys may not do that" in failing(server, ConfigError)


def test_a_host_that_is_not_langfuse_is_told_so() -> None:
    with run_fake_langfuse() as server:
        health = "GET /api/public/health"
        for fault in (
            Fault(404, b"<html><title>Not here</title></html>"),
            Fault(200, b"<html><title>Sign in</title></html>"),
            Fault(200, b'{"pong": true}'),
        ):
            server.faults.add(health, fault)
            with pytest.raises(ConfigError, match="check base_url"):
                run_with_client(server, lambda client: client.health())
        server.faults.add(health, Fault(301, b"", {"location": "https://elsewhere.example"}))
        with pytest.raises(ConfigError, match=r"redirects to https://elsewhere.example"):
            run_with_client(server, lambda client: client.health())


def test_a_host_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and deaf: nobody listens
        client = LangfuseClient(settings(f"http://127.0.0.1:{taken.getsockname()[1]}", tries=1))
        with pytest.raises(Unavailable, match="check base_url and that Langfuse runs"):
            client.wait(client.health())
        client.close()


def test_a_server_that_is_too_old_is_told_so() -> None:
    with run_fake_langfuse(Plan("2.95.1")) as server, pytest.raises(ConfigError, match=r"Langfuse 2\.95\.1.*update"):
        run_with_client(server, lambda client: client.health())


def test_a_server_that_serves_no_read_is_told_so() -> None:
    with run_fake_langfuse() as server:
        server.faults.add(READ, Fault(404, b'{"message": "gone"}'))
        assert "serves neither" in failing(server, ConfigError)


@pytest.mark.parametrize(
    ("version", "mode", "expected"),
    [
        ("4.60.0", "events_only", ("v2", "array")),
        ("4.59.0", "dual", ("v2", "array")),
        ("4.58.9", "events_only", ("v2", "single")),
        ("4.16.0", "legacy", ("legacy", "single")),
        ("3.150.0", "legacy", ("legacy", "single")),
    ],
)
def test_what_a_server_can_do_is_found_out_once(version: str, mode: str, expected: tuple[str, str]) -> None:
    with run_fake_langfuse(Plan(version, mode=mode)) as server:
        client = client_of(server)
        assert client.wait(client.abilities()) == client.wait(client.abilities()) == expected
        client.close()
        assert len(server.seen) <= 3


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><title>Just a moment</title></html>", BadAnswer),
        (b'{"data": [', BadAnswer),
        (b'{"meta": {}}', BadAnswer),
        (b"[]", BadAnswer),
    ],
)
def test_an_answer_that_is_no_page_is_bad_not_empty(body: bytes, kind: type[TruelineError]) -> None:
    with run_fake_langfuse() as server:
        server.faults.add(READ, Fault(200, b'{"data": [], "meta": {}}'), Fault(200, body))
        failing(server, kind)


def test_an_answer_that_is_too_large_is_not_read_on() -> None:
    with run_fake_langfuse() as server:
        server.faults.add(READ, Fault(200, b" " * 3_000_000))
        assert "larger than 1 MB" in failing(server, BadAnswer, max_response_mb=1.0)


def test_an_answer_that_never_ends_is_given_up() -> None:
    """A byte now and then is no silence, so that no timeout of one's own ends it."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        gone.set()

    async def ask() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = LangfuseClient(settings(f"http://127.0.0.1:{port}", timeout=0.1, tries=1))
        try:
            with pytest.raises(Unavailable, match="took too long"):
                await client.health()
        finally:
            await client.aclose()
            server.close()
            await gone.wait()

    gone = asyncio.Event()
    asyncio.run(asyncio.wait_for(ask(), 60))


def test_a_request_that_is_wrong_is_refused_once() -> None:
    with run_fake_langfuse() as server:
        where = {"type": "string", "column": "output", "operator": "contains", "value": "x"}
        with pytest.raises(Refused, match="at least one"):
            run_with_client(server, lambda client: collect(client.observations(ObservationQuery(where=(where,)))))
        with pytest.raises(ConfigError, match="unknown group 'everything'"):
            ObservationQuery(fields=("everything",))


def everything(client: LangfuseClient) -> list[Callable[[], Any]]:
    """A call of each kind."""
    return [
        lambda: client.health(),
        lambda: collect(client.observations(ObservationQuery())),
        lambda: client.post_scores([score(1)]),
        lambda: client.prompts.get("x"),
        lambda: client.datasets.get("x"),
    ]


def test_keys_are_never_printed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pair = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
    echo = f'{{"message": "bad Authorization: Basic {pair} of {PUBLIC_KEY} and {SECRET_KEY}"}}'.encode()
    texts = []
    with run_fake_langfuse() as server:
        for status in (400, 401, 403, 404, 413, 429, 500, 503, 302, 200):
            server.faults.chance = lambda _, status=status: Fault(status, echo)  # type: ignore[misc]  # it is bound
            client = client_of(server, tries=1, max_wait=1)
            texts += [repr(client), repr(client.__dict__)]
            for call in everything(client):
                try:
                    client.wait(call())
                except TruelineError as error:
                    texts += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
            client.close()
    texts += [caplog.text, repr(settings("http://127.0.0.1:1")), str(settings("http://127.0.0.1:1"))]
    for secret in (SECRET_KEY, PUBLIC_KEY, pair):
        assert not [text for text in texts if secret in text]


@pytest.mark.parametrize("url", ["langfuse.example.com", "ftp://x", "https://pk:sk@x.example", "https://x.example?a=1"])
def test_an_address_that_cannot_be_one_is_told(url: str) -> None:
    with pytest.raises(ValidationError, match="expected an address"):
        settings(url)


def test_an_address_with_the_path_of_the_api_is_taken_too() -> None:
    given: LangfuseSettings = settings("https://x.example/api/public/")
    assert given.base_url == "https://x.example"


def test_one_client_serves_several_event_loops() -> None:
    with run_fake_langfuse() as server:
        client = client_of(server)
        for _ in range(3):

            async def once() -> str:
                found = await client.health()
                await client.aclose()
                return found.version

            assert asyncio.run(once()) == "4.60.0"
        assert client.wait(client.project_id()) == "proj1"
        client.close()


def test_a_missing_thing_is_not_a_missing_server() -> None:
    with run_fake_langfuse() as server:
        with pytest.raises(NotFound, match="'nope' with label 'production'"):
            run_with_client(server, lambda client: client.prompts.get("nope"))
        server.faults.add("GET /api/public/v2/prompts/nope", Fault(404, b"<html><title>404</title></html>"))
        with pytest.raises(EndpointMissing):
            run_with_client(server, lambda client: client.prompts.get("nope"))
        assert httpx.get(f"{server.url}/api/public/health").status_code == 200
