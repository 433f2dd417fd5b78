"""Detects what a server can do: its version, and which endpoints for reading and sending it has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from shared.core.clock import iso
from shared.core.errors import BadAnswer, ConfigError
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import EndpointMissing
from shared.langfuse.api.langfuse_transport import LangfuseTransport

Reads = Literal["v2", "legacy"]
Dialect = Literal["array", "single", "ingestion"]

_OLDEST = (3, 0, 0)
_ARRAYS = (4, 59, 0)


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of /health: `version` as the server writes it."""

    status: str
    version: str

    @property
    def release(self) -> tuple[int, int, int] | None:
        """The version as numbers, None where there are none."""
        found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", self.version)
        return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


class Probe:
    """Detects each ability once, at its first use."""

    def __init__(self, transport: LangfuseTransport) -> None:
        self._transport = transport
        self._health: Health | None = None
        self._reads: Reads | None = None
        self._score_reads: Reads | None = None
        self._dialect: Dialect | None = None

    async def health(self) -> Health:
        """Request /health, at every call.

        Raises:
            ConfigError: when no Langfuse answers there, or one older than 3.0; Unavailable when nothing answers.
        """
        url = self._transport.settings.base_url
        try:
            data = (await self._transport.ask(Call("GET", "/api/public/health"))).data
        except (EndpointMissing, BadAnswer) as error:
            raise ConfigError(f"{url}: no Langfuse answers there ({error}); check base_url") from error
        if not isinstance(data, dict) or "status" not in data:
            raise ConfigError(f"{url}: /api/public/health is not Langfuse's; check base_url")
        self._health = Health(str(data["status"]), str(data.get("version", "")))
        release = self._health.release
        if release is not None and release < _OLDEST:
            raise ConfigError(
                f"{url}: this is Langfuse {self._health.version}; 3.0 or newer is needed, 4.59 or newer is best:"
                " update the server"
            )
        return self._health

    async def dialect(self) -> Dialect:
        """How scores are sent."""
        if self._dialect is None:
            configured = self._transport.settings.scores_by
            self._dialect = await self._dialect_by_version() if configured == "auto" else configured
        return self._dialect

    def disable_arrays(self) -> None:
        """Send scores one by one: the server has refused a list."""
        self._dialect = "single"

    async def _dialect_by_version(self) -> Dialect:
        release = (self._health or await self.health()).release
        return "array" if release is None or release >= _ARRAYS else "single"

    async def reads(self) -> Reads:
        """How observations are read.

        Raises:
            ConfigError: when the server serves neither read, or is older than 3.0.
        """
        if self._reads is None:
            params: dict[str, str | int] = {"limit": 1, "fromStartTime": self._tomorrow()}
            v2 = Call("GET", "/api/public/v2/observations", "general", {**params, "fields": "core"})
            if await self._is_served(v2):
                self._reads = "v2"
            elif await self._is_served(Call("GET", "/api/public/observations", "legacy", {**params, "page": 1})):
                await self.health()  # servers before 3.0 have it too, with another meaning
                self._reads = "legacy"
            else:
                raise await self._unsupported_server()
        return self._reads

    async def score_reads(self) -> Reads:
        """How scores are read."""
        if self._score_reads is None:
            since = self._tomorrow()
            call = Call("GET", "/api/public/v3/scores", "general", {"limit": 1, "fromTimestamp": since})
            new = await self.reads() == "v2" or await self._is_served(call)
            self._score_reads = "v2" if new else "legacy"
        return self._score_reads

    def _tomorrow(self) -> str:
        """A start time after which there are no rows, so that the request is cheap."""
        return iso(self._transport.runtime.wall() + timedelta(days=1))

    async def _is_served(self, call: Call) -> bool:
        try:
            await self._transport.ask(call)
        except EndpointMissing:
            return False
        return True

    async def _unsupported_server(self) -> ConfigError:
        version = (self._health or await self.health()).version
        return ConfigError(
            f"{self._transport.settings.base_url}: Langfuse {version or 'of unknown version'} serves neither"
            " /api/public/v2/observations nor /api/public/observations; update the server to 4.0 or newer"
        )
