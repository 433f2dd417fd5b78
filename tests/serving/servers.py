"""Receivers for tests: real servers, in this process or in others, and the listeners that they tell."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn

from shared.wiring.serve.webhook_app import webhook_app
from tests.langfuse.fake_server.webhooks import SECRET, sign_as_langfuse

ROOT = Path(__file__).resolve().parents[2]
PATH = "/webhooks/langfuse"


@dataclass
class Answer:
    """What a listener says: a status, headers, a body; after `hold` is set, where there is one."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    hold: threading.Event | None = None


@dataclass(frozen=True)
class Heard:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Listener:
    """An HTTP server that keeps what it hears. `answers` are given in order, then always the last of `usual`."""

    def __init__(self, usual: Answer | None = None) -> None:
        self.heard: list[Heard] = []
        self.answers: list[Answer] = []
        self.usual = usual or Answer()
        self.lock = threading.Lock()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with listener.lock:
                    headers = {key.lower(): value for key, value in self.headers.items()}
                    listener.heard.append(Heard(self.path, headers, body))
                    answer = listener.answers.pop(0) if listener.answers else listener.usual
                if answer.hold is not None:
                    answer.hold.wait(30)
                with suppress(OSError):
                    self.send_response(answer.status)
                    for key, value in answer.headers.items():
                        self.send_header(key, value)
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def listening(usual: Answer | None = None) -> Iterator[Listener]:
    listener = Listener(usual)
    try:
        yield listener
    finally:
        listener.close()


PATIENCE = 120.0
"""Seconds after which a test gives up; long, for other work may keep the machine busy."""


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for something that comes by itself."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextmanager
def serving(state: object, **variables: str) -> Iterator[int]:
    """The port of a receiver in a thread of this process."""
    environ = {"LANGFUSE_WEBHOOK_SECRET": SECRET, "TRUELINE_STATE": str(state), **variables}
    server = uvicorn.Server(uvicorn.Config(webhook_app(environ), port=0, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)


@dataclass
class Process:
    """A receiver in a process of its own."""

    port: int
    child: subprocess.Popen[str]

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it had still to say."""
        _, said = self.child.communicate(timeout=PATIENCE)
        return self.child.returncode, said


UVICORN = ("uvicorn", "shared.langfuse.webhook:app")
OURS = ("trueline", "webhook")


def command(*flags: str, program: Sequence[str] = UVICORN) -> list[str]:
    return [str(Path(sys.executable).with_name(program[0])), *program[1:], "--port", "0", *flags]


def environment(state: object, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGFUSE_", "SLACK_"))}
    return {**kept, "LANGFUSE_WEBHOOK_SECRET": SECRET, "TRUELINE_STATE": str(state), **variables}


@contextmanager
def spawned(state: object, *flags: str, program: Sequence[str] = UVICORN, **variables: str) -> Iterator[Process]:
    """A receiver as a user starts it; ended at the end of the block."""
    words = command(*flags, program=program)
    with subprocess.Popen(
        words, env=environment(state, **variables), stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        try:
            assert child.stderr is not None
            line = next(line for line in child.stderr if "running on" in line)
            process = Process(int(line.split("127.0.0.1:")[1].split()[0]), child)
            until(lambda: _alive(process.port))
            yield process
        finally:
            if child.poll() is None:
                child.terminate()
                child.communicate(timeout=PATIENCE)


def _alive(port: int) -> bool:
    try:
        return get(port, "/healthz")[0] == 200
    except OSError:
        return False


def get(port: int, path: str) -> tuple[int, str]:
    return exchange(port, "GET", path)


def post(port: int, body: bytes, signature: str | None = None, **headers: str) -> tuple[int, str]:
    """Deliver a body, signed now unless told otherwise; an empty signature sends no header."""
    value = sign_as_langfuse(SECRET, body, int(time.time())) if signature is None else signature
    given = {"x-langfuse-signature": value} if value else {}
    return exchange(port, "POST", PATH, body, {**given, **headers})


def exchange(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def event(name: str, prompt: str = "p", /, **changed: Any) -> bytes:
    """A body as Langfuse writes it."""
    about = {"name": prompt, "version": 2, "labels": ["production", "latest"], "prompt": "Rate {{x}}", "type": "text"}
    top = {"id": name, "timestamp": "2026-11-20T20:20:49.911Z", "type": "prompt-version", "apiVersion": "v1"}
    return json.dumps({**top, "action": "updated", "prompt": about, **changed}).encode()
