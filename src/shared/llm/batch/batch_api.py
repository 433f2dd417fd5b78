"""The wire of a batch API (`/files`, `/batches`): sending a file of questions, asking how it stands, reading its lines.

As OpenAI documents it: a file of lines `{custom_id, method, url, body}` is uploaded with the purpose `batch`, at most
50,000 lines and 200 MB; a batch is made of it; its output and error files have one line a question, in any order. A
batch that expires or is cancelled gives what was finished.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import IO, Any, TypeVar

import httpx

from shared.core.errors import BadAnswer, ConfigError, ItemError, Unavailable
from shared.core.results import LMResult
from shared.http.client_runtime import ClientRuntime
from shared.http.retries import Retryable
from shared.http.transport import FileUpload, HttpReply, split_lines
from shared.llm.adapters.openai_format import read_answer, read_json
from shared.llm.openai.openai_connection import OpenAIConnection
from shared.llm.openai.openai_errors import PermanentRefusal, UnknownModel, UnsupportedFeature
from shared.llm.openai.server_settings import OpenAISettings

T = TypeVar("T")
Outcome = Mapping[str, Any]
"""What is kept of a question's line: `{status, body}` of an answer, else `{code, message}`."""

ENDPOINT = "/v1/chat/completions"
INTENT = "trueline_intent"
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
NOT_ASKED_CODES = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of lines whose question was never put to the model."""

_TOO_LARGE = re.compile(r"answered 413|too (large|big|many)|(exceed|maximum).*\b(size|bytes|mb|requests|lines)\b", re.I)
_CHUNK = 200


class BatchFileTooLarge(Exception):
    """Inside this room only: the server takes no file of this size."""


@dataclass(frozen=True, slots=True)
class BatchState:
    """How a batch stands. `errors` are those of a batch that failed: `code`, `message`, and `line` (from 1) or None."""

    id: str
    status: str
    files: tuple[str, ...] = ()
    errors: tuple[Mapping[str, Any], ...] = ()
    progress: str = ""
    intent: str | None = None
    created_at: float | None = None


class BatchApi:
    """One server's batch API; its requests have the same limits and retries as any other."""

    def __init__(self, settings: OpenAISettings, runtime: ClientRuntime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._connection = OpenAIConnection(settings, runtime)
        self._max_bytes = int(settings.max_response_mb * 1_000_000)

    async def probe(self) -> None:
        """Return when the server has a batch API and takes the key.

        Raises:
            ConfigError: when it has none or does not; TransientError.
        """
        await self._retry(lambda: self._request_json("GET", "/batches?limit=1"))

    async def upload(self, file: IO[bytes], name: str) -> str:
        """Send a file of questions; its id.

        Raises:
            BatchFileTooLarge, ConfigError, ItemError, FatalError, TransientError.
        """
        upload = FileUpload(f"{name}.jsonl", file, {"purpose": "batch"})
        found = await self._retry_fitting(lambda: self._request_json("POST", "/files", upload=upload))
        return _read_text(found, "id", self._settings.base_url)

    async def create(self, file_id: str, intent: str, window: str, since: datetime) -> BatchState:
        """Make a batch of a file. When it is not known whether a try has made it, it is looked for before the next.

        Raises:
            BatchFileTooLarge, ConfigError, ItemError, FatalError: there is no batch; TransientError: there may be one.
        """
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": window}
        sent_before = False

        async def attempt() -> BatchState:
            nonlocal sent_before
            found = await self._find(intent, since) if sent_before else None
            sent_before = True
            return found or self._parse_state(
                await self._request_json("POST", "/batches", body | {"metadata": {INTENT: intent}})
            )

        return await self._retry_fitting(attempt)

    async def find(self, intent: str, since: datetime) -> BatchState | None:
        """The batch that carries the intent, among those made since a day before `since`; None when there is none."""
        return await self._retry(lambda: self._find(intent, since))

    async def get(self, batch_id: str) -> BatchState | None:
        """How a batch stands; None when the server has none of this id."""
        try:
            return self._parse_state(
                await self._retry(lambda: self._request_json("GET", f"/batches/{batch_id}"), missing=True)
            )
        except UnknownModel:
            return None

    async def read(self, file_id: str, keep: Callable[[dict[str, Outcome]], Awaitable[int]]) -> int:
        """Read a file of answers, giving its lines to `keep` (key -> outcome) a few at a time, which says how many of
        them it knew; how many lines were not known or could not be read.
        """

        async def attempt() -> int:
            lines = known = 0
            path = f"/files/{file_id}/content"
            async with (
                self._connection.slot(0),
                self._connection.open("GET", path) as response,
                aclosing(self._connection.parts(response, bounded=False)) as parts,
                aclosing(_split_chunks(parts, self._max_bytes)) as chunks,
            ):
                async for some in chunks:
                    read = [read_line(line) for line in some]
                    lines += len(read)
                    known += sum(each is not None and each[1] is None for each in read)
                    found = {each[0]: each[1] for each in read if each is not None and each[1] is not None}
                    known += await keep(found) if found else 0
            return lines - known

        try:
            return await self._retry(attempt, missing=True)
        except UnknownModel:  # providers delete files after some weeks
            return 0

    def answer(self, outcome: Outcome) -> LMResult:
        """The answer that an outcome holds.

        Raises:
            UnsupportedFeature: the model refuses a feature; else as `OpenAICompatibleAdapter.complete`.
        """
        where = f"{self._settings.base_url} (batch)"
        if "status" not in outcome:
            raise Unavailable(f"{where}: no answer ({outcome.get('code')}): {outcome.get('message')}")
        status, body = outcome["status"], outcome.get("body")
        if status == 200 and isinstance(body, dict):
            return replace(read_answer(body, where), lane="batch")
        reply = HttpReply(int(status), httpx.Headers(), json.dumps(body).encode())
        error = self._connection.translator.refusal(reply, self._runtime.wall())
        if isinstance(error, Retryable | PermanentRefusal):
            raise error.error
        if isinstance(error, UnknownModel):
            raise ConfigError(str(error))
        raise error

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _find(self, intent: str, since: datetime) -> BatchState | None:
        oldest = (since - timedelta(days=1)).timestamp()  # the server's clock may be another
        after = ""
        while True:
            found = await self._request_json("GET", f"/batches?limit=100{after}")
            rows = found.get("data")
            states = [self._parse_state(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            for state in states:
                if state.intent == intent:
                    return state
            last = states[-1] if states else None
            if last is None or not found.get("has_more") or (last.created_at or oldest) < oldest:
                return None
            after = f"&after={last.id}"

    async def _request_json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, upload: FileUpload | None = None
    ) -> dict[str, Any]:
        async with self._connection.slot(0):
            reply = await self._connection.ask(method, path, body, upload)
            return read_json(reply.body, self._settings.base_url + path.partition("?")[0])

    async def _retry_fitting(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._retry(work)
        except ItemError as error:
            if _TOO_LARGE.search(str(error)):
                raise BatchFileTooLarge(str(error)) from error
            raise

    async def _retry(self, work: Callable[[], Awaitable[T]], missing: bool = False) -> T:
        try:
            return await self._connection.retry(work)
        except PermanentRefusal as error:
            raise error.error from error
        except UnsupportedFeature as error:
            raise ItemError(str(error)) from error
        except UnknownModel as error:
            if missing:
                raise
            remedy = "this server has no batch API; leave out `lane: batch`, so that each question is asked directly"
            raise ConfigError(f"{error}; {remedy}") from error

    def _parse_state(self, found: Mapping[str, Any]) -> BatchState:
        errors, counts, metadata = found.get("errors"), found.get("request_counts"), found.get("metadata")
        rows = errors.get("data") if isinstance(errors, dict) else errors
        status = _read_text(found, "status", self._settings.base_url)
        progress = status
        if isinstance(counts, dict) and counts.get("total"):
            progress = f"{status}, {counts.get('completed', 0)} of {counts['total']} answered"
        created = found.get("created_at")
        return BatchState(
            _read_text(found, "id", self._settings.base_url),
            status,
            tuple(str(found[name]) for name in ("output_file_id", "error_file_id") if found.get(name)),
            tuple(row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else (),
            progress,
            str(metadata.get(INTENT)) if isinstance(metadata, dict) else None,
            float(created) if isinstance(created, int | float) else None,
        )


def write_line(file: IO[bytes], key: str, body: Mapping[str, Any]) -> None:
    """Write one question's line."""
    line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
    file.write(json.dumps(line).encode() + b"\n")


def read_line(line: bytes | None) -> tuple[str, Outcome | None] | None:
    """The question's key and its outcome, None where it was never put to the model; None for what is no such line."""
    try:
        found = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
        return None
    key, response, error = found["custom_id"], found.get("response"), found.get("error")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        return key, {"status": response["status_code"], "body": response.get("body")}
    said = error if isinstance(error, dict) else {"message": str(error)}
    code = str(said.get("code") or "unknown")
    return key, None if code in NOT_ASKED_CODES else {"code": code, "message": str(said.get("message") or "")}


def _read_text(found: Mapping[str, Any], name: str, where: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise BadAnswer(f"{where}: the batch API's answer has no {name!r}: {str(found)[:200]}")
    return value


async def _split_chunks(parts: AsyncIterator[bytes], most: int) -> AsyncGenerator[list[bytes | None]]:
    some: list[bytes | None] = []
    size = 0
    async for line in split_lines(parts, most):
        some.append(line)
        size += len(line or b"")
        if len(some) >= _CHUNK or size > 8_000_000:
            yield some
            some, size = [], 0
    if some:
        yield some
