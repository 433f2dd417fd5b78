"""Sending: connections that are kept for each event loop, and answers read with a limit on their size and time.

Each connection has an httpx client of its own, and the one that was used last is used next. httpcore's pool compares
its idle connections with one another for every request: 50 that are kept in one pool were measured to cost 7 ms of CPU
a call, 50 pools of one 0.7 ms.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, Protocol

import httpx

from shared.core.event_loops import PerLoop

QueryParams = Mapping[str, str | int | Sequence[str]]


class ResponseTooLarge(Exception):
    """An answer is larger than allowed; it was not read on."""


class ConnectionSettings(Protocol):
    """What a transport needs of an edge's settings."""

    base_url: str
    timeout: float
    connect_timeout: float
    max_response_mb: float


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file as a form's field `file`, sent from its start as it is read, and the form's other fields."""

    name: str
    file: IO[bytes]
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, with at most one of `json` (sent as JSON), `content` (sent as it is) and `upload`."""

    method: str
    path: str
    params: QueryParams | None = None
    json: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: FileUpload | None = None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer of a server."""

    status: int
    headers: httpx.Headers
    body: bytes


class HttpTransport:
    """The connections of one client to one server. `headers` go with every request; `total_timeout` ends an answer that
    comes byte by byte.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        headers: Mapping[str, str],
        total_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._headers = {"user-agent": "trueline", **headers}
        self._total_timeout = total_timeout
        self._clock = clock
        self._max_bytes = int(settings.max_response_mb * 1_000_000)
        self._idle: PerLoop[list[httpx.AsyncClient]] = PerLoop(list)
        self._tls: ssl.SSLContext | None = None

    async def send(self, request: HttpRequest) -> HttpReply:
        """Send a request and read its answer whole.

        Raises:
            What `open` and `parts` raise.
        """
        async with self.open(request) as response:
            return await self.read(response)

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[httpx.Response]:
        """A response whose body is still to be read, inside the block, by `read` or `parts`.

        Raises:
            httpx.RequestError, httpx.InvalidURL.
        """
        idle = self._idle.get()
        client = idle.pop() if idle else self._create_client()
        upload = request.upload
        try:
            async with client.stream(
                request.method,
                self._settings.base_url + request.path,
                params=request.params,
                json=request.json,
                content=request.content,
                data=None if upload is None else dict(upload.fields),
                files=None if upload is None else {"file": (upload.name, upload.file, "application/jsonl")},
                headers=request.headers,
            ) as response:
                yield response
        finally:
            idle.append(client)

    async def read(self, response: httpx.Response) -> HttpReply:
        """The answer with its whole body."""
        body = b"".join([part async for part in self.parts(response)])
        return HttpReply(response.status_code, response.headers, body)

    async def parts(self, response: httpx.Response, bounded: bool = True) -> AsyncGenerator[bytes]:
        """The body as it comes; a file's, which nobody keeps whole, is not `bounded` in size and time.

        Raises:
            ResponseTooLarge: when it is larger than allowed; TimeoutError when it takes too long in all;
            httpx.RequestError.
        """
        if not bounded:
            async for part in response.aiter_bytes():
                yield part
            return
        declared = response.headers.get("content-length", "")
        self._check_size(int(declared) if declared.isdecimal() else 0)
        until = self._clock() + self._total_timeout
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            self._check_size(size)
            if self._clock() > until:  # a server that drips never meets the timeout between two bytes
                raise TimeoutError(f"no end after {self._total_timeout:g} s")
            yield part

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        for client in self._idle.pop() or ():
            await client.aclose()

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ResponseTooLarge(f"the answer is larger than {self._max_bytes / 1e6:g} MB")

    def _create_client(self) -> httpx.AsyncClient:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()  # read once: it holds every certificate that is trusted
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(self._settings.timeout, connect=self._settings.connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            verify=self._tls,
        )


async def split_lines(parts: AsyncIterator[bytes], most: float = math.inf) -> AsyncIterator[bytes | None]:
    """The lines of a body without their ends, empty ones left out; None for one longer than `most` bytes, which is not
    kept. They end at line feeds only: a text may hold any other separator.
    """
    rest = bytearray()
    async for part in parts:
        *whole, tail = part.split(b"\n")
        for piece in whole:
            rest += piece
            if rest:
                yield bytes(rest) if len(rest) <= most else None
            rest.clear()
        if len(rest) <= most:
            rest += tail
    if rest:
        yield bytes(rest) if len(rest) <= most else None
