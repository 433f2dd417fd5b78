"""The webhook's receiver under attack: nothing that was not signed is taken, and nothing ends the server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.database.engine.database import Database, open_database
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.langfuse.receiver.delivery_queue import DeliveryQueue
from shared.langfuse.receiver.webhook_receiver import IncomingRequest, ReceiverSettings, WebhookReceiver
from tests.langfuse.fake_server.webhooks import SECRET, sign_as_langfuse
from tests.serving.servers import PATH, event, get, post, serving

BODY = event("real", "victim")
LIMIT = 4096


class Target(NamedTuple):
    port: int
    state: Database


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One server for all attacks: whatever one does to it, the next sees."""
    database = open_database(tmp_path_factory.mktemp("hostile") / "state.db")
    with serving(database.path, LANGFUSE_WEBHOOK_MAX_BYTES=str(LIMIT)) as port:
        yield Target(port, database)
    database.close()


@pytest.fixture(autouse=True)
def nothing_was_taken(target: Target) -> Iterator[None]:
    yield
    assert SqlDeliveries(target.state).counts()["done"] == 0
    assert get(target.port, "/readyz")[0] == 200


def raw(port: int, *pieces: bytes, end: bool = False) -> bytes:
    """What the server answers to bytes as they are; `end` closes our side after them."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def head(signature: str, *more: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "host: x", f"x-langfuse-signature: {signature}", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def good() -> str:
    return sign_as_langfuse(SECRET, BODY, int(time.time()))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_changed_body_is_taken(target: Target, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(BODY)))
    taken_out = data.draw(st.integers(0, 3))
    changed = BODY[:place] + data.draw(st.binary(max_size=4)) + BODY[place + taken_out :]
    if changed != BODY:
        assert post(target.port, changed, good())[0] == 403


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_changed_signature_is_taken(target: Target, data: st.DataObject) -> None:
    """Of any sign that a header may hold. Spaces and commas around the parts say nothing: those are left out."""
    signature = good()
    place = data.draw(st.integers(0, len(signature)))
    printable = st.characters(min_codepoint=33, max_codepoint=255, exclude_characters=",\x7f\x85\xa0")
    changed = (
        signature[:place]
        + data.draw(st.text(printable, max_size=4))
        + signature[place + data.draw(st.integers(0, 3)) :]
    )
    if changed not in (signature, ""):
        answer = raw(target.port, head(changed, f"content-length: {len(BODY)}") + BODY)
        assert answer.startswith(b"HTTP/1.1 403"), answer


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_end_the_server(target: Target, noise: bytes) -> None:
    """Whether it is HTTP or not, and within a header or not."""
    answers = [raw(target.port, noise, end=True), raw(target.port, head("t=1") + noise, end=True)]
    answers += [raw(target.port, head("x")[:-4] + noise + b"\r\n\r\n", end=True)]
    assert not any(answer.startswith(b"HTTP/1.1 2") for answer in answers)


def test_a_body_that_says_it_is_too_large_is_refused_unread(target: Target) -> None:
    answer = raw(target.port, head(good(), "content-length: 999999999999"))
    assert answer.startswith(b"HTTP/1.1 413") and b"connection: close" in answer.lower()
    assert post(target.port, b"x" * (LIMIT + 1))[0] == 413


def test_a_body_in_pieces_is_counted(target: Target) -> None:
    """It says no length, and goes on until it is refused."""
    piece = b"400\r\n" + b"x" * 1024 + b"\r\n"
    answer = raw(target.port, head(good(), "transfer-encoding: chunked"), *[piece] * 5)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_length_that_is_none_is_refused(target: Target) -> None:
    for length in ("-1", "1e3", "٣", "0x10", "1, 2", "", "9" * 5000):
        answer = raw(
            target.port, head(good()).replace(b"\r\n\r\n", f"\r\ncontent-length: {length}\r\n\r\n".encode()), BODY
        )
        assert not answer.startswith(b"HTTP/1.1 2"), length


def test_two_lengths_smuggle_nothing(target: Target) -> None:
    """A body whose length is told in two ways must not become two requests."""
    both = ("content-length: 5", "transfer-encoding: chunked")
    answer = raw(target.port, head(good(), *both), b"0\r\n\r\n" + head(good(), f"content-length: {len(BODY)}") + BODY)
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_sender_who_goes_away_leaves_nothing(target: Target) -> None:
    for _ in range(20):
        raw(target.port, head(good(), f"content-length: {len(BODY)}") + BODY[:-1], end=True)


def test_many_slow_senders_hold_up_nobody(target: Target) -> None:
    """A hundred bodies that never end, and a delivery is answered all the same."""
    slow = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(100)]
    for connection in slow:
        connection.sendall(head(good(), f"content-length: {len(BODY)}") + BODY[:10])
    assert post(target.port, event("other", type="monitor-alert"))[0] == 200
    for connection in slow:
        connection.close()


def test_replays_of_old_deliveries_are_turned_away(target: Target) -> None:
    for late in (-301, -86_400, -(10**9), 400, 10**9):
        assert post(target.port, BODY, sign_as_langfuse(SECRET, BODY, int(time.time()) + late))[0] == 403


def test_two_headers_are_not_one(target: Target) -> None:
    """The first one counts, whatever the second says."""
    both = head("t=1,v1=" + "0" * 64, f"x-langfuse-signature: {good()}", f"content-length: {len(BODY)}") + BODY
    assert raw(target.port, both).startswith(b"HTTP/1.1 403")


def test_a_body_that_comes_too_slowly_is_refused(tmp_path: Path) -> None:
    """After the time that is allowed for all of it, not for each piece."""

    class Never:
        def __aiter__(self) -> Never:
            return self

        async def __anext__(self) -> bytes:
            await asyncio.sleep(0.01)
            return b"x"

    async def answered() -> int:
        intake = DeliveryQueue(lambda batch: [True] * len(batch))
        receiver = WebhookReceiver(ReceiverSettings(SECRET, max_seconds=0.2), intake, time.time)
        answer = await receiver.receive(IncomingRequest(good(), None, Never()))
        await intake.aclose()
        return answer.status

    assert asyncio.run(answered()) == 408


def test_a_receiver_is_not_made_without_a_secret() -> None:
    with pytest.raises(ConfigError, match="no webhook secret"):
        WebhookReceiver(ReceiverSettings(""), DeliveryQueue(lambda batch: [True] * len(batch)), time.time)


def test_more_than_can_wait_are_refused_at_once() -> None:
    """The store hangs: some wait for it, the others hear at once that they are to come again."""
    hang = threading.Event()

    def store(batch: object) -> list[bool]:
        hang.wait(30)
        return [True] * 10

    async def answers() -> list[int]:
        intake = DeliveryQueue(store, most=3)
        receiver = WebhookReceiver(ReceiverSettings(SECRET), intake, time.time)

        async def one(number: int) -> int:
            body = event(f"d{number}")

            async def pieces() -> AsyncIterator[bytes]:
                yield body

            signature = sign_as_langfuse(SECRET, body, int(time.time()))
            return (await receiver.receive(IncomingRequest(signature, None, pieces()))).status

        tasks = []
        for number in range(8):
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0.05)
        refused = [task.result() for task in tasks if task.done()]
        hang.set()
        await asyncio.gather(*tasks)
        await intake.aclose()
        return refused + [task.result() for task in tasks]

    found = asyncio.run(answers())
    assert found[:4] == [503] * 4 and sorted(found[4:]) == [200] * 4 + [503] * 4
