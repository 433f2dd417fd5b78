"""What a scheduler answers over HTTP: whether it is alive, the last run of each monitor, and metrics for Prometheus.

On the scheduler's own event loop and the standard library alone: no other thread could tell that the loop is alive, and
the core install has it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.core.clock import iso
from shared.core.errors import ConfigError
from shared.monitoring.scheduling.job_loop import JobLoop
from shared.monitoring.scheduling.jobs import JobRun, JobState

_SECONDS = 5.0
"""How long a request may take to arrive, and its answer to be taken."""

_CONNECTIONS = 50
_BYTES = 8192
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: str
    kind: str = "text/plain; charset=utf-8"


class ScheduleHealth:
    """Answers `/healthz` and `/metrics` for a job loop."""

    def __init__(self, loop: JobLoop, max_concurrent: int) -> None:
        self._loop, self._max_concurrent = loop, max_concurrent
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[object], None] = {}  # the oldest first

    async def start(self, host: str, port: int) -> str:
        """Listen; the address.

        Raises:
            ConfigError: when the port is taken, or may not be used.
        """
        try:
            self._server = await asyncio.start_server(self._serve_connection, host, port, limit=_BYTES)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot listen on {host}:{port} ({reason}); choose another --port") from error
        found = self._server.sockets[0].getsockname()
        return f"http://{f'[{host}]' if ':' in host else host}:{found[1]}"

    def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = None
        if len(self._open) > _CONNECTIONS:  # whoever holds connections open keeps nobody out
            next(iter(self._open)).cancel()
        try:
            async with asyncio.timeout(_SECONDS):
                writer.write(self._respond(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
            writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, was too slow, or asked nothing that is HTTP
        finally:
            self._open.pop(task, None)
            if not writer.is_closing():
                writer.transport.abort()

    def _respond(self, head: bytes) -> bytes:
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        answer = self._answer(method, rest.partition(" ")[0].partition("?")[0])
        body = answer.body.encode()
        lines = (
            f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
            f"Content-Type: {answer.kind}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body)

    def _answer(self, method: str, path: str) -> _Answer:
        pages: dict[str, Callable[[], _Answer]] = {"/healthz": self._health, "/metrics": self._metrics}
        if path not in pages:
            return _Answer(404, "expected /healthz or /metrics\n")
        return pages[path]() if method in ("GET", "HEAD") else _Answer(405, "expected GET\n")

    def _health(self) -> _Answer:
        states = self._loop.states
        stalled = sum(each.stuck for each in states) >= self._max_concurrent
        body = {
            "status": "stalled" if stalled else "ok",
            "at": iso(self._loop.seen),
            "running": self._loop.running,
            "late": sum(each.late for each in states),
            "monitors": [_describe_monitor(each) for each in states],
        }
        return _Answer(503 if stalled else 200, json.dumps(body, ensure_ascii=False) + "\n", "application/json")

    def _metrics(self) -> _Answer:
        lines = [
            *_metric("trueline_scheduler_running", "gauge", "Runs at work.", [("", self._loop.running)]),
            *_metric("trueline_scheduler_max_concurrent", "gauge", "Most runs at once.", [("", self._max_concurrent)]),
            *_monitor_metrics(self._loop.states),
        ]
        return _Answer(200, "\n".join(lines) + "\n", "text/plain; version=0.0.4; charset=utf-8")


def _describe_monitor(state: JobState) -> dict[str, object]:
    return {
        "id": state.job.id,
        "name": state.job.name,
        "schedule": state.job.description,
        "next_run": iso(state.next_run),
        "last_start": _iso(state.last_start),
        "running_since": _iso(state.running_since),
        "late": state.late,
        "stuck": state.stuck,
        "last_run": None if state.last is None else _describe_run(state.last),
        "runs": state.counts.runs,
        "failed_runs": state.counts.failures,
        "missed_runs": state.counts.missed,
        "failed_in_a_row": state.counts.failed_in_a_row,
    }


def _describe_run(run: JobRun) -> dict[str, object]:
    """A run without texts that an error may hold."""
    return {
        "run_id": run.run_id or None,
        "status": run.status,
        "started": iso(run.started),
        "finished": iso(run.finished),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


_COUNTED: Sequence[tuple[str, str, str, Callable[[JobState], float | None]]] = (
    ("runs_total", "counter", "Runs that ended.", lambda state: state.counts.runs),
    ("failed_runs_total", "counter", "Runs that failed.", lambda state: state.counts.failures),
    ("missed_runs_total", "counter", "Scheduled times without a run.", lambda state: state.counts.missed),
    ("failed_in_a_row", "gauge", "Failed runs since the last good one.", lambda state: state.counts.failed_in_a_row),
    ("late", "gauge", "1 when two times passed without the end of a run.", lambda state: state.late),
    ("stuck", "gauge", "1 while a run is at work since before two times.", lambda state: state.stuck),
    ("running", "gauge", "1 while a run is at work.", lambda state: state.running_since is not None),
    ("next_run_timestamp_seconds", "gauge", "When it runs next.", lambda state: state.next_run.timestamp()),
    (
        "last_start_timestamp_seconds",
        "gauge",
        "When its last run began.",
        lambda state: None if state.last_start is None else state.last_start.timestamp(),
    ),
    (
        "last_end_timestamp_seconds",
        "gauge",
        "When its last run ended.",
        lambda state: None if state.last is None else state.last.finished.timestamp(),
    ),
    (
        "last_run_seconds",
        "gauge",
        "How long its last run took.",
        lambda state: None if state.last is None else (state.last.finished - state.last.started).total_seconds(),
    ),
)


def _monitor_metrics(states: Sequence[JobState]) -> Iterator[str]:
    labels = [f'{{monitor="{_escape(each.job.id)}"}}' for each in states]
    for name, kind, text, value in _COUNTED:
        found = [(label, value(state)) for label, state in zip(labels, states, strict=True)]
        yield from _metric(f"trueline_monitor_{name}", kind, text, found)


def _metric(name: str, kind: str, text: str, values: Sequence[tuple[str, float | None]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield from (f"{name}{label} {float(value):.15g}" for label, value in values if value is not None)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
