"""Sending: connections that are kept for each event loop, and answers read with a limit on their size.

Each connection has an httpx client of its own, and the one that was used last is used next. httpcore's pool compares
its idle connections with one another for every request: 50 that are kept in one pool were measured to cost 7 ms of CPU
a call, 50 pools of one 0.7 ms.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

import httpx

from shared.core.errors import BadAnswer
from shared.core.event_loops import PerLoop
from shared.llm.openai.openai_errors import Reply, Translator
from shared.llm.openai.server_settings import Runtime, ServerSettings


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as a form's field `file`, sent from its start as it is read, and the form's other fields."""

    name: str
    file: IO[bytes]
    fields: Mapping[str, str]


class Transport:
    """The HTTP of one adapter. Compression is not asked for, so what is read is as large as it looks."""

    def __init__(self, settings: ServerSettings, runtime: Runtime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._most = int(settings.max_response_mb * 1_000_000)
        self.words = Translator(settings.base_url, [settings.api_key, *settings.headers.values()])
        self._idle: PerLoop[list[httpx.AsyncClient]] = PerLoop(list)
        self._tls: ssl.SSLContext | None = None

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, upload: Upload | None = None
    ) -> Reply:
        """Send a request and read its answer whole.

        Raises:
            Again: for what may pass; ConfigError, ItemError, FatalError, BadAnswer, Unsupported, UnknownModel.
        """
        async with self.opened(method, path, body, upload) as response:
            content = await self._read(response)
            return Reply(response.status_code, response.headers, content)

    @asynccontextmanager
    async def opened(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, upload: Upload | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A response with status 200 whose body is still to be read, inside the block, by `parts`.

        Raises:
            What `ask` raises.
        """
        idle = self._idle.get()
        client = idle.pop() if idle else self._client()
        try:
            url, form = self._settings.base_url + path, _form(upload)
            async with client.stream(method, url, json=body, **form) as response:
                if response.status_code != 200:
                    content = await self._read(response)
                    reply = Reply(response.status_code, response.headers, content)
                    raise self.words.refused(reply, self._runtime.wall())
                yield response
        except (httpx.RequestError, httpx.InvalidURL, TimeoutError) as error:
            raise self.words.unreachable(error) from error
        finally:
            idle.append(client)

    async def parts(self, response: httpx.Response, bounded: bool = True) -> AsyncGenerator[bytes]:
        """The body as it comes; a file's, which nobody keeps whole, is not `bounded` in size and time.

        Raises:
            BadAnswer: when it is larger than allowed; TimeoutError when it takes too long in all.
        """
        if not bounded:
            async for part in response.aiter_bytes():
                yield part
            return
        declared = response.headers.get("content-length", "")
        self._check(int(declared) if declared.isdecimal() else 0)
        until = self._runtime.clock() + self._settings.total_timeout
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            self._check(size)
            if self._runtime.clock() > until:  # a server that drips never meets the timeout between two bytes
                raise TimeoutError(f"no end after {self._settings.total_timeout:g} s")
            yield part

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        for client in self._idle.pop() or ():
            await client.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        return b"".join([part async for part in self.parts(response)])

    def _check(self, size: int) -> None:
        if size > self._most:
            raise BadAnswer(
                f"{self._settings.base_url}: the answer is larger than {self._most / 1e6:g} MB and was not read on;"
                " raise max_response_mb if that is expected"
            )

    def _client(self) -> httpx.AsyncClient:
        settings = self._settings
        if self._tls is None:
            self._tls = httpx.create_ssl_context()  # read once: it holds every certificate that is trusted
        headers = {"accept-encoding": "identity", "user-agent": "trueline"}
        headers |= {name: value.get_secret_value() for name, value in settings.headers.items()}
        if settings.api_key is not None:
            headers["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        return httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            verify=self._tls,
        )


def _form(upload: Upload | None) -> dict[str, Any]:
    if upload is None:
        return {}
    return {"data": dict(upload.fields), "files": {"file": (upload.name, upload.file, "application/jsonl")}}
