"""A server on 127.0.0.1 that stands in for a batch API: files, and batches that go on when they are looked at."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.llm.fake_openai import chat

ORDER = ("validating", "in_progress", "finalizing")


@dataclass
class Job:
    """One batch. `lines` are those of its input file."""

    id: str
    lines: list[dict[str, Any]]
    metadata: Mapping[str, str]
    status: str = "validating"
    polls: int = 0
    output: str | None = None
    errors: str | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)


class Answers:
    """What `chat` of the other stand-in needs to know of its server."""

    logprobs = "given"


class BatchStandIn:
    """`polls` looks until a batch ends, as `ends`; what single questions get is told by their text:

    `status N …`: an error of that status; `late …`: expired, where batches expire; `lost …`: no line at all;
    `no-logprobs …`: refused while it asks for logprobs.
    """

    def __init__(self) -> None:
        self.polls = 0
        self.ends = "completed"
        self.failing: list[dict[str, Any]] = []
        self.bad_texts: set[str] = set()
        self.key: str | None = None
        self.batches_exist = True
        self.most_lines: int | None = None
        self.token_limit: int | None = None
        self.create_faults: deque[str] = deque()
        self.extra_lines: list[str] = []
        self.files: dict[str, bytes] = {}
        self.jobs: list[Job] = []
        self.seen: list[tuple[str, str]] = []
        self.created = threading.Event()
        self.released = threading.Event()
        self.lock = threading.RLock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def asked(self) -> list[str]:
        """The texts of all questions of all batches that were taken."""
        return [text_of(line) for job in self.jobs for line in job.lines if job.status != "failed"]

    def file(self, content: bytes) -> str:
        with self.lock:
            name = f"file-{len(self.files)}"
            self.files[name] = content
            return name

    def create(self, body: Mapping[str, Any]) -> Job:
        with self.lock:
            assert body["endpoint"] == "/v1/chat/completions"
            lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
            assert len({line["custom_id"] for line in lines}) == len(lines)
            job = Job(f"batch_{len(self.jobs)}", lines, body.get("metadata") or {})
            self.jobs.append(job)
            self._go_on(job)
            self.created.set()
            return job

    def look(self, job: Job) -> dict[str, Any]:
        with self.lock:
            job.polls += 1
            self._go_on(job)
            return self.shown(job)

    def shown(self, job: Job) -> dict[str, Any]:
        return {
            "id": job.id,
            "object": "batch",
            "status": job.status,
            "metadata": dict(job.metadata),
            "created_at": 1_772_366_400 + int(job.id.partition("_")[2]),
            "output_file_id": job.output,
            "error_file_id": job.errors,
            "errors": {"object": "list", "data": job.failures} if job.failures else None,
            "request_counts": {"total": len(job.lines), "completed": 0, "failed": 0},
        }

    def _go_on(self, job: Job) -> None:
        if job.status not in ORDER:
            return
        bad = [place for place, line in enumerate(job.lines, 1) if text_of(line) in self.bad_texts]
        if self.token_limit is not None and len(job.lines) > self.token_limit:
            self._fail(job, [{"code": "token_limit_exceeded", "line": None, "message": "Enqueued token limit reached"}])
        elif bad:
            said = [{"code": "invalid_request", "line": place, "message": f"line {place} is bad"} for place in bad]
            self._fail(job, said)
        elif self.failing:
            self._fail(job, self.failing)
        elif job.polls >= self.polls:
            self._end(job)
        else:
            job.status = ORDER[min(job.polls, len(ORDER) - 1)]

    def _fail(self, job: Job, failures: list[dict[str, Any]]) -> None:
        job.status, job.failures = "failed", failures

    def _end(self, job: Job) -> None:
        job.status = self.ends
        output: list[str] = list(self.extra_lines)
        errors: list[str] = []
        for line in reversed(job.lines):  # any order but the file's
            self._answer(line, output, errors)
        job.output = self.file("\n".join(output).encode()) if output else None
        job.errors = self.file(("\n".join(errors) + "\n").encode()) if errors else None

    def _answer(self, line: dict[str, Any], output: list[str], errors: list[str]) -> None:
        text, key, body = text_of(line), line["custom_id"], line["body"]
        if text.startswith("lost"):
            return
        if text.startswith("late") and self.ends in ("expired", "cancelled"):
            error = {"code": f"batch_{self.ends}", "message": "not executed before the window ended"}
            errors.append(json.dumps({"id": "r", "custom_id": key, "response": None, "error": error}))
            return
        status, said = 200, chat(_ANSWERS, body)
        told = re.match(r"status (\d+)", text)
        if told:
            status, said = int(told.group(1)), {"error": {"message": f"said {told.group(1)}"}}
        elif text.startswith("no-logprobs") and "logprobs" in body:
            status, said = 400, {"error": {"message": "logprobs are not supported with this model"}}
        response = {"status_code": status, "request_id": "q", "body": said}
        (output if status == 200 else errors).append(
            json.dumps({"id": "r", "custom_id": key, "response": response, "error": None}, ensure_ascii=False)
        )


_ANSWERS: Any = Answers()


def text_of(line: Mapping[str, Any]) -> str:
    return str(line["body"]["messages"][-1]["content"])


@contextmanager
def batches_standing_in() -> Iterator[BatchStandIn]:
    server = BatchStandIn()
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, standin: BatchStandIn) -> None:
        self.standin = standin
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that were killed are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def standin(self) -> BatchStandIn:
        assert isinstance(self.server, _Server)
        return self.server.standin

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.standin.seen.append(("GET", url.path))
        if self._refused():
            return
        path = url.path.removeprefix("/v1/")
        found = re.fullmatch(r"files/(.*)/content", path)
        job = next((job for job in self.standin.jobs if path == f"batches/{job.id}"), None)
        if path == "models":
            self._json(200, {"data": [{"id": "small"}]})
        elif path == "batches" and self.standin.batches_exist:
            self._list(parse_qs(url.query))
        elif found and found.group(1) in self.standin.files:
            self._send(200, self.standin.files[found.group(1)])
        elif job is not None:
            self._json(200, self.standin.look(job))
        else:
            self._json(404, {"error": {"message": f"no {path}"}})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        path = urlsplit(self.path).path.removeprefix("/v1/")
        self.standin.seen.append(("POST", f"/v1/{path}"))
        if self._refused():
            return
        if path == "files" and self.standin.batches_exist:
            self._take_file(content)
        elif path == "batches" and self.standin.batches_exist:
            with suppress(OSError):
                self._create(json.loads(content))
        else:
            self._json(404, {"error": {"message": f"no {path}"}})

    def _list(self, query: Mapping[str, list[str]]) -> None:
        newest = [self.standin.shown(job) for job in reversed(self.standin.jobs)]
        after = query.get("after")
        if after:
            newest = newest[[each["id"] for each in newest].index(after[0]) + 1 :]
        page = newest[: int(query["limit"][0])]
        self._json(200, {"object": "list", "data": page, "has_more": len(newest) > len(page)})

    def _take_file(self, content: bytes) -> None:
        boundary = self.headers["content-type"].partition("boundary=")[2].encode()
        parts = content.split(b"--" + boundary)
        found = {}
        for part in parts[1:-1]:
            head, _, value = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="(\w+)"', head)
            assert name is not None
            found[name.group(1).decode()] = value.removesuffix(b"\r\n")
        assert found["purpose"] == b"batch"
        if self.standin.most_lines is not None and found["file"].count(b"\n") > self.standin.most_lines:
            self._json(413, {"error": {"message": "the file is too large"}})
            return
        self._json(200, {"id": self.standin.file(found["file"]), "object": "file", "purpose": "batch"})

    def _create(self, body: Mapping[str, Any]) -> None:
        fault = self.standin.create_faults.popleft() if self.standin.create_faults else ""
        if fault == "stuck before":  # the provider has not begun when the client is gone
            self.standin.created.set()
            self.standin.released.wait()
            return
        if fault == "busy":
            self._json(429, {"error": {"message": "slow down"}})
            return
        job = self.standin.create(body)
        if fault == "stuck after":
            self.standin.released.wait()
        elif fault == "cut after":
            self.close_connection = True
        else:
            self._json(200, self.standin.shown(job))

    def _refused(self) -> bool:
        if self.standin.key is None or self.headers.get("authorization") == f"Bearer {self.standin.key}":
            return False
        self._json(401, {"error": {"message": f"Incorrect API key {self.headers.get('authorization')}"}})
        return True

    def _json(self, status: int, found: object) -> None:
        self._send(status, json.dumps(found).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
