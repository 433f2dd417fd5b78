"""The webhook's receiver under load: one worker of uvicorn, 32 connections, and whoever sends in a process of its own.

    python benchmarks/langfuse/webhook.py [--seconds 8] [--mutations 100000] [--state PATH_OR_URL] [--bytes 600]

Forged requests turned away a second (right form, wrong signature, so that the whole body is read and signed),
deliveries accepted a second with their row durable (SQLite, synchronous=FULL) and how long each took, and signatures
and bodies that were changed at random: none may be accepted, and the server must answer all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from shared.database.engine.database import open_database
from shared.database.stores.sql_deliveries import SqlDeliveries

SECRET = "lf-whsec_" + "5a" * 32
CONNECTIONS = 32
PACE = 600.0
"""Deliveries a second of the paced part: more than the goal, less than all that goes."""
GOALS = {"forged": "2,000", "accepted": "500", "paced": "500, p99 20 ms"}
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)


class Server(NamedTuple):
    """Where a receiver listens, and its process."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU that it has used; 0 where there is no /proc."""
        stat = Path(f"/proc/{self.pid}/stat")
        fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["0"] * 13
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(state: str) -> Iterator[Server]:
    """A receiver in a process of its own."""
    command = [sys.executable, "-m", "uvicorn", "shared.langfuse.webhook:app", "--port", "0", "--no-access-log"]
    environment = {**os.environ, "LANGFUSE_WEBHOOK_SECRET": SECRET, "TRUELINE_STATE": state}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        try:
            line = next(line for line in child.stderr if "running on" in line)
            yield Server(int(line.split("127.0.0.1:")[1].split()[0]), child.pid)
        finally:
            child.terminate()


def signed(body: bytes, at: int) -> bytes:
    """The header's value."""
    return f"t={at},v1={hmac.new(SECRET.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}".encode()


def request(signature: bytes, body: bytes) -> bytes:
    """The whole request as it goes over the wire."""
    head = b"POST /webhooks/langfuse HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"x-langfuse-signature: %s\r\ncontent-length: %d\r\n\r\n%s" % (signature, len(body), body)


def event(size: int) -> bytes:
    """A body like Langfuse's, of about so many bytes."""
    prompt = {"name": f"team/prompt-{random.randrange(50)}", "version": 3, "labels": ["production"], "type": "text"}
    about = {"id": str(uuid.uuid4()), "timestamp": "2026-11-20T20:20:49.911Z", "type": "prompt-version"}
    return json.dumps({**about, "action": "updated", "prompt": {**prompt, "prompt": "x" * max(0, size - 260)}}).encode()


@dataclass
class Load:
    """What is sent, until when, and what came of it. With a `pace`, seconds from one request of a connection to the
    next, a request's time counts from when it was due, so that a slow answer is not hidden by the wait for it.
    """

    requests: Iterator[bytes]
    until: float
    pace: float = 0.0
    found: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0


class Connection(asyncio.Protocol):
    """Sends one request after the other, each when the one before was answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.answer = b""
        self.due = time.perf_counter() + load.pace * random.random()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's is of no class of asyncio's
        self.wait()

    def wait(self) -> None:
        """Until the next request is due."""
        if self.load.pace and (left := self.due - time.perf_counter()) > 0:
            self.loop.call_later(left, self.send)
        else:
            self.send()

    def send(self) -> None:
        """The next request, if there is one and time for it."""
        following = next(self.load.requests, None) if time.perf_counter() < self.load.until else None
        if following is None:
            self.transport.close()
            return
        if not self.load.pace:
            self.due = time.perf_counter()
        self.transport.write(following)

    def data_received(self, data: bytes) -> None:
        """Count an answer that is whole."""
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if found else None
        if length is None or len(body) < int(length[1]):
            return
        self.load.took.append(time.perf_counter() - self.due)
        self.load.found[int(self.answer[9:12])] += 1
        self.answer = b""
        self.due += self.load.pace
        self.wait()

    def connection_lost(self, error: Exception | None) -> None:
        """The end, ours or the server's."""
        if not self.done.done():
            self.done.set_result(None)


async def loaded(port: int, load: Load) -> None:
    """Send it all over 32 connections."""
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(load), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    load.seconds = time.perf_counter() - begun


def said(name: str, load: Load) -> None:
    """A line of the result."""
    ordered = [each * 1e3 for each in sorted(load.took)]
    p99 = ordered[int(len(ordered) * 0.99)]
    print(
        f"  {name:9} {len(ordered) / load.seconds:8,.0f} a second; median {statistics.median(ordered):5.1f} ms,"
        f" p99 {p99:5.1f} ms, longest {ordered[-1]:5.1f} ms;"
        f" {load.cpu / len(ordered) * 1e6:4.0f} us of CPU each; statuses {dict(load.found)};"
        f" goal {GOALS.get(name, 'no 200')}"
    )


def mutated(rng: random.Random, count: int, size: int) -> Iterator[bytes]:
    """Requests of which one byte of signature or body was changed, taken out or put in, or much of it."""
    for _ in range(count):
        body, at = event(size), int(time.time())
        signature = signed(body, at)
        if rng.random() < 0.5:
            yield request(signature, changed(rng, body, bytes(range(256))))
        else:
            # a comma or a space more may leave the meaning as it was; line ends would end the header
            yield request(changed(rng, signature, bytes(set(range(33, 127)) - {44})), body)


def changed(rng: random.Random, text: bytes, alphabet: bytes) -> bytes:
    """Another text, always."""
    place = rng.randrange(len(text))
    other = bytes([rng.choice(alphabet.replace(text[place : place + 1], b""))])
    way = rng.randrange(5)
    if way == 0:
        return text[:place] + text[place + 1 :]
    if way == 1:
        return text[:place] + other + text[place:]
    if way == 2:
        return text[:place]
    if way == 3:
        return bytes(rng.choices(alphabet, k=len(text) + 1))
    return text[:place] + other + text[place + 1 :]


def main() -> None:
    """Print a line for each kind of request."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=8.0)
    options.add_argument("--mutations", type=int, default=100_000)
    options.add_argument("--state", default="")
    options.add_argument("--bytes", type=int, default=600)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = chosen.state or str(Path(folder) / "state.db")
        deliveries = SqlDeliveries(open_database(state))
        before = deliveries.counts()["done"]
        with server(state) as receiver:
            print(f"one worker, {CONNECTIONS} connections, bodies of {chosen.bytes} bytes")
            body = event(chosen.bytes)
            forged = request(signed(body + b" ", int(time.time())), body)
            run(receiver, repeat(forged), 1.0)  # warm
            turned_away = run(receiver, repeat(forged), chosen.seconds)
            assert set(turned_away.found) == {403}, turned_away.found
            said("forged", turned_away)
            for name, pace in (("accepted", 0.0), ("paced", CONNECTIONS / PACE)):
                accepted = run(receiver, iter(fresh(int(chosen.seconds * 8000), chosen.bytes)), chosen.seconds, pace)
                assert set(accepted.found) == {200}, accepted.found
                after = deliveries.counts()["done"]
                assert after - before == len(accepted.took), "a row for each"
                before = after
                said(name, accepted)
            changed_ones = run(receiver, mutated(random.Random(7), chosen.mutations, chosen.bytes), 3600.0)
            assert len(changed_ones.took) == chosen.mutations, changed_ones.found
            assert not changed_ones.found[200], changed_ones.found
            assert deliveries.counts()["done"] == before
            said("mutated", changed_ones)


def fresh(count: int, size: int) -> list[bytes]:
    """Requests that are to be accepted, signed before the clock runs."""
    bodies = [event(size) for _ in range(count)]
    at = int(time.time())
    return [request(signed(each, at), each) for each in bodies]


def run(receiver: Server, requests: Iterator[bytes], seconds: float, pace: float = 0.0) -> Load:
    """Send for so long, on a quick event loop."""
    load = Load(requests, time.perf_counter() + seconds, pace)
    before = receiver.cpu()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(loaded(receiver.port, load))
    load.cpu = receiver.cpu() - before
    return load


if __name__ == "__main__":
    main()
