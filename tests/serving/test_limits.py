"""The command that the documentation gives holds good deliveries while others hold connections open."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.langfuse.fake_server.webhooks import SECRET, sign_as_langfuse
from tests.serving.servers import OURS, PATH, Process, event, get, post, spawned

FILES = 128
LARGEST = 65_536


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Process]:
    """`trueline webhook`, in a process that may open few files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        started = spawned(tmp_path / "state.db", program=OURS, LANGFUSE_WEBHOOK_MAX_BYTES=str(LARGEST))
        process = started.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    try:
        yield process
    finally:
        started.__exit__(None, None, None)


def hold(stack: ExitStack, port: int, text: bytes) -> socket.socket:
    """A connection that has sent this and sends nothing more."""
    held = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
    held.sendall(text)
    return held


def head(length: int) -> bytes:
    signature = sign_as_langfuse(SECRET, b"another body", int(time.time()))
    lines = (f"POST {PATH} HTTP/1.1", "host: x", f"x-langfuse-signature: {signature}", f"content-length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


def test_connections_without_a_request_keep_nobody_out(receiver: Process) -> None:
    """Three times as many as the process may open files: the oldest are closed, and every delivery is taken."""
    with ExitStack() as stack:
        for attack in (b"", b"POST ", head(10)[:-2]):
            for number in range(FILES):
                hold(stack, receiver.port, attack)
                if number % 16 == 0:
                    assert post(receiver.port, event(f"{len(attack)}-{number}"))[0] == 200
        assert get(receiver.port, "/readyz")[0] == 200


def test_bodies_that_stall_keep_nobody_out(receiver: Process) -> None:
    """More bodies than may be in memory: the oldest are given up with 408, and every delivery is taken."""
    with ExitStack() as stack:
        first = hold(stack, receiver.port, head(LARGEST) + b"x" * (LARGEST - 1))
        for number in range(FILES):
            hold(stack, receiver.port, head(LARGEST) + b"x" * (LARGEST - 1))
            if number % 16 == 0:
                assert post(receiver.port, event(f"n{number}"))[0] == 200
        assert first.recv(100).startswith(b"HTTP/1.1 408")


def test_headers_that_do_not_end_are_not_waited_for(receiver: Process) -> None:
    """A connection whose headers trickle in is closed after ten seconds, and the log says so."""
    with ExitStack() as stack:
        slow = hold(stack, receiver.port, b"POST / HTTP/1.1\r\n")
        slow.settimeout(1)
        end = time.monotonic() + 30
        closed = False
        while not closed and time.monotonic() < end:
            try:
                slow.sendall(b"x: y\r\n")
                closed = slow.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        assert closed
    receiver.child.terminate()
    assert "headers did not arrive in time" in receiver.ended()[1]


def test_a_connection_that_is_kept_open_is_used_again(receiver: Process) -> None:
    """The limit on headers is one for each request, not for the whole connection."""
    body = event("kept")
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=30) as connection:
        for number in range(3):
            signature = sign_as_langfuse(SECRET, body, int(time.time()))
            lines = (f"POST {PATH} HTTP/1.1", "host: x", f"x-langfuse-signature: {signature}")
            connection.sendall("\r\n".join((*lines, f"content-length: {len(body)}", "", "")).encode() + body)
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            assert (b"success" if number == 0 else b"duplicate") in answer
