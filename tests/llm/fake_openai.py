"""A server on 127.0.0.1 that stands in for an OpenAI-compatible one: it keeps what it was sent, and fails as told."""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-right-0123456789"


@dataclass(frozen=True)
class Fault:
    """One answer that is not as it should be. `size` bytes of spaces are sent in chunks; `cut` breaks the connection
    after `body`; `stuck` never answers until the server is closed.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    cut: bool = False
    stuck: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it came; `at` by the server's clock."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    at: float


def busy(after: str | None = None) -> Fault:
    """429, with or without Retry-After."""
    return Fault(429, b'{"error": {"message": "slow down"}}', {} if after is None else {"Retry-After": after})


BROKEN = Fault(500, b'{"error": {"message": "it broke"}}')
CUT = Fault(cut=True)


class StandIn:
    """`faults` are used up by questions in order; afterwards every question is answered well, except those that have a
    parameter (or `system_role`) that the server `refuses`, each in words of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.models: Sequence[str] | None = ("small", "large")
        self.key: str | None = None
        self.logprobs = "given"
        self.tokens_field = "max_tokens"
        self.faults: deque[Fault] = deque()
        self.refuses: dict[str, Fault] = {}
        self.seen: list[Seen] = []
        self.sent = 0
        self.clock = clock
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def questions(self) -> list[Seen]:
        """What was asked, without the lists of models."""
        return [each for each in self.seen if each.method == "POST"]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def fault(self) -> Fault | None:
        with self._lock:
            return self.faults.popleft() if self.faults else None


@contextmanager
def standing_in(clock: Callable[[], float] = time.monotonic) -> Iterator[StandIn]:
    """A stand-in that is closed at the end of the block."""
    server = StandIn(clock)
    try:
        yield server
    finally:
        server.close()


def words(body: Mapping[str, Any]) -> list[str]:
    """The answer to a question, token by token: the same for the same question."""
    asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    pieces = f"You said {asked!s}".split(" ")
    return [pieces[0], *(f" {piece}" for piece in pieces[1:])]


def chat(server: StandIn, body: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an answer."""
    tokens = words(body)
    most = body.get("max_tokens", body.get("max_completion_tokens", 16))
    reason = "length" if len(tokens) > most else "stop"
    tokens = tokens[:most]
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    text = "".join(tokens)
    if "messages" not in body:
        choice["text"] = text
        if server.logprobs == "given" and "logprobs" in body:
            choice["logprobs"] = {"tokens": tokens, "token_logprobs": [-0.25] * len(tokens), "top_logprobs": None}
    else:
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("tools"):
            call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"what": "it"}'}}
            choice |= {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
        if server.logprobs == "given" and body.get("logprobs"):
            choice["logprobs"] = {"content": [_row(token, place, body) for place, token in enumerate(tokens)]}
    usage: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": len(tokens), "total_tokens": 7 + len(tokens)}
    usage |= {"prompt_tokens_details": {"cached_tokens": 3}}
    return {"id": "x", "model": f"{body['model']}-2026-01", "choices": [choice], "usage": usage}


def embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an answer to /embeddings: words hashed into a few numbers, in an order of the server's own."""
    rows = []
    for place, text in enumerate(body["input"]):
        vector = [0.0] * body.get("dimensions", 16)
        for word in re.findall(r"\w+", text.lower()) or ["?"]:
            vector[zlib.crc32(word.encode()) % len(vector)] += 1.0
        rows.append({"object": "embedding", "index": place, "embedding": vector})
    return {"data": rows[::-1], "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def _row(token: str, place: int, body: Mapping[str, Any]) -> dict[str, Any]:
    top = [{"token": token, "logprob": -0.25 * (place + 1)}, {"token": "other", "logprob": -9.5}]
    return {"token": token, "logprob": -0.25 * (place + 1), "top_logprobs": top[: body.get("top_logprobs", 0)]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, standin: StandIn) -> None:
        self.standin = standin
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that have gone are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    @property
    def standin(self) -> StandIn:
        assert isinstance(self.server, _Server)
        return self.server.standin

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.standin.seen.append(Seen("GET", self.path, dict(self.headers), None, self.standin.clock()))
        if self._refused():
            return
        if self.standin.models is None:
            self._json(404, {"error": {"message": "no such page"}})
        else:
            self._json(200, {"data": [{"id": name} for name in self.standin.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.standin.seen.append(Seen("POST", self.path, dict(self.headers), body, self.standin.clock()))
        fault = self.standin.fault()
        if fault is not None:
            with suppress(OSError):
                self._fail(fault)
        elif not self._refused() and not self._unsupported(body):
            self._answer(body)

    def _refused(self) -> bool:
        if self.standin.key is None or self.headers.get("authorization") == f"Bearer {self.standin.key}":
            return False
        said = f"Incorrect API key provided: {self.headers.get('authorization', 'none')}"
        self._json(401, {"error": {"message": said, "code": "invalid_api_key"}})
        return True

    def _unsupported(self, body: Mapping[str, Any]) -> bool:
        said = ""
        if "input" in body:
            return False
        system = any(each.get("role") == "system" for each in body.get("messages", ()))
        for name, fault in self.standin.refuses.items():
            if name in body or (name == "system_role" and system):
                self._fail(fault)
                return True
        if self.standin.logprobs == "refused" and "logprobs" in body:
            said = "logprobs are not supported with this model"
        if self.standin.tokens_field not in body and "max_tokens" not in self.standin.refuses:
            said = f"Unsupported parameter: 'max_tokens'. Use '{self.standin.tokens_field}' instead."
        if self.standin.models is not None and body["model"] not in self.standin.models:
            self._json(404, {"error": {"message": f"The model {body['model']!r} does not exist"}})
            return True
        if said:
            self._json(400, {"error": {"message": said}})
        return bool(said)

    def _answer(self, body: Mapping[str, Any]) -> None:
        if "input" in body:
            self._json(200, embeddings(body))
            return
        if not body.get("stream"):
            self._json(200, chat(self.standin, body))
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": ping\n\n")
        for token in words(body):
            self._event({"choices": [{"delta": {"content": token}, "finish_reason": None}]})
        self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self.wfile.write(b"data: [DONE]\r\n\r\n")
        self.close_connection = True

    def _event(self, found: object) -> None:
        self.wfile.write(b"data: " + json.dumps(found, ensure_ascii=False).encode() + b"\r\n\r\n")

    def _json(self, status: int, found: object) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.stuck:
            self.standin.released.wait()
            return
        if fault.cut and not fault.body:
            return
        self.send_response(fault.status)
        self.send_header("connection", "close")
        for name, value in fault.headers.items():
            self.send_header(name, value)
        if not (fault.cut or fault.size):
            self.send_header("content-length", str(len(fault.body)))
        elif fault.cut:
            self.send_header("content-length", str(len(fault.body) + 100))
        self.end_headers()
        self.wfile.write(fault.body)
        for _ in range(fault.size // 65536):
            self.wfile.write(b" " * 65536)
            self.standin.sent += 65536
