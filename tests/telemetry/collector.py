"""A collector on loopback: takes OTLP logs over HTTP, reads the protobuf, and answers as told."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

Reply = tuple[int, dict[str, str], bytes]
TAKEN: Reply = (200, {}, ExportLogsServiceResponse().SerializeToString())


class Collector:
    """`replies` are given first, in their order; later requests are taken. `records` are the log records taken."""

    def __init__(self) -> None:
        self.replies: list[Reply | None] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.records: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        self.requests.append((path, headers))
        reply = self.replies.pop(0) if self.replies else TAKEN
        if reply is not None and reply[0] == 200:
            plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            for resource in ExportLogsServiceRequest.FromString(plain).resource_logs:
                self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
                self.records += [record for scope in resource.scope_logs for record in scope.log_records]
        return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                found = collector.answer(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                if found is None:  # never an answer, until the test is over
                    collector.released.wait(30)
                    return
                status, headers, content = found
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def collecting() -> Iterator[Collector]:
    found = Collector()
    try:
        yield found
    finally:
        found.close()


def attributes(record: Any) -> dict[str, str | float]:
    """A record's attributes by name."""
    pairs = ((each.key, each.value) for each in record.attributes)
    return {key: value.double_value if value.HasField("double_value") else value.string_value for key, value in pairs}
