"""A fake Langfuse server on 127.0.0.1: stateful, records every request, and fails on purpose.

with run_fake_langfuse(Plan(version="4.16.0")) as server:
    server.observations.add({"id": "o1", "traceId": "t1", "startTime": "2026-11-20T11:00:00Z"})
    server.faults.add("POST /api/public/scores", BROKEN, CUT_AFTER)
    ...
    server.scores.stored()
"""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.langfuse.fake_server.faults import TOO_BROAD, Fault, Faults
from tests.langfuse.fake_server.observations import TooBroad
from tests.langfuse.fake_server.plan import Plan, RateLimitWindows
from tests.langfuse.fake_server.routes import FakeEndpoints
from tests.langfuse.fake_server.wire import MovableClock, Refused, Reply, Request

_PAGE = b"<!DOCTYPE html><html><head><title>404: This page could not be found</title></head></html>"
_WRONG_KEY = "Invalid credentials. Confirm that you've configured the correct host."


class FakeLangfuse(FakeEndpoints):
    """`asked` counts requests by method and path; `seen` keeps them; `statuses` counts the answers."""

    def __init__(self, plan: Plan | None = None, clock: MovableClock | None = None) -> None:
        self.clock = clock or MovableClock()
        super().__init__(plan or Plan(), self.clock)
        self.faults = Faults()
        self.windows = RateLimitWindows(self.plan, self.clock)
        self.seen: list[Request] = []
        self.asked: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def note(self, request: Request) -> None:
        with self._lock:
            self.seen.append(request)
            self.asked[f"{request.method} {request.path}"] += 1

    def answered(self, status: int) -> None:
        with self._lock:
            self.statuses[status] += 1

    def answer(self, request: Request, raw_path: str) -> Reply:
        """What the server says when nothing goes wrong."""
        if request.path == "/api/public/health":
            return Reply(200, {"status": "OK", "version": self.plan.version})
        refusal = self._unknown(request)
        if refusal is not None:
            return refusal
        found = self.find(request, raw_path)
        if found is None:
            return Reply(404, _PAGE, {"content-type": "text/html"})
        route, request = found
        busy = self.windows.refuse(route.bucket)
        if busy is not None:
            return busy
        try:
            return route.handler(request)
        except Refused as no:
            return no.reply
        except TooBroad:
            return Reply(TOO_BROAD.status, TOO_BROAD.body, TOO_BROAD.headers)

    def _unknown(self, request: Request) -> Reply | None:
        right = base64.b64encode(f"{self.plan.public_key}:{self.plan.secret_key}".encode()).decode()
        given = request.headers.get("authorization", "")
        if given == f"Basic {right}":
            return None
        said = "No authorization header" if not given else _WRONG_KEY
        return Reply(401, {"message": said, "error": "UnauthorizedError"})


@contextmanager
def run_fake_langfuse(plan: Plan | None = None, clock: MovableClock | None = None) -> Iterator[FakeLangfuse]:
    """A fake server that is closed at the end of the block."""
    server = FakeLangfuse(plan, clock)
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fake: FakeLangfuse) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that have gone are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    @property
    def fake(self) -> FakeLangfuse:
        assert isinstance(self.server, _Server)
        return self.server.fake

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        fake = self.fake
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        request = Request(self.command, parts.path, query, headers, body, fake.clock())
        fake.note(request)
        if fake.plan.latency:
            time.sleep(fake.plan.latency)
        fault = fake.faults.take(request)
        if fault is not None and fault.late:
            time.sleep(fault.late)
        elif fault is not None:
            if fault.done:
                fake.answer(request, parts.path)
            with suppress(OSError):
                self._fail(fault)
            return
        self._send(fake.answer(request, parts.path))

    do_POST = do_PATCH = do_DELETE = do_GET

    def _send(self, reply: Reply) -> None:
        self.fake.answered(reply.status)
        body = reply.encoded()
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, fault: Fault) -> None:
        if fault.stuck:
            self.fake.released.wait()
            self.close_connection = True
            return
        if not fault.cut:
            self._send(Reply(fault.status, fault.body, fault.headers))
            return
        self.close_connection = True
        self.fake.answered(0)
        if fault.body:
            self.send_response(fault.status)
            self.send_header("content-length", str(len(fault.body) + 100))
            self.end_headers()
            self.wfile.write(fault.body)
