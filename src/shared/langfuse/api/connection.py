"""What a user may say of a Langfuse server, and what a test may put in place of time and chance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from shared.core.clock import Clock, utc_now
from shared.http.rate_limit_store import MemoryShelf, Shelf

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Bucket = Literal["general", "tracing", "datasets", "metrics", "legacy", "deletion"]
"""What Langfuse Cloud counts apart. Prompts and /health are not counted."""


class Connection(BaseModel):
    """How one project on one server is reached. Keys are never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    base_url: str = Field(description="Where Langfuse is, without /api/public.")
    public_key: SecretStr = Field(min_length=1, description="The project's public key (pk-lf-...).")
    secret_key: SecretStr = Field(min_length=1, description="The project's secret key (sk-lf-...).")
    timeout: Seconds = Field(default=30.0, description="Seconds without a byte of the answer.")
    connect_timeout: Seconds = Field(default=5.0, description="Seconds for the connection to stand.")
    tries: Count = Field(default=4, description="Of one request: 408, 409, 5xx and lost connections are tried again.")
    max_wait: Seconds = Field(default=120.0, description="The longest wait for a rate limit or a Retry-After.")
    max_concurrent: Count = Field(default=8, description="Requests at once.")
    limits: dict[Bucket, Count] = Field(
        default={}, description="Requests a minute of the plan, where known; else they are learnt from the first 429."
    )
    limits_file: str | None = Field(default=None, description="A file by which several processes share the limits.")
    organisation: str | None = Field(default=None, description="A name that key pairs of one organisation share.")
    max_response_mb: Seconds = Field(default=64.0, description="A longer answer is refused while it is read.")

    @field_validator("base_url")
    @classmethod
    def _url_is_usable(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("expected an address such as https://langfuse.example.com or http://127.0.0.1:3000")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError(
                "expected an address without user, password, query or fragment; keys have their own fields"
            )
        return value.rstrip("/").removesuffix("/api/public").rstrip("/")


class LangfuseSettings(Connection):
    """A connection, and how scores are sent over it."""

    scores_by: Literal["auto", "array", "single", "ingestion"] = Field(
        default="auto", description="How scores are sent: by the server's version, or as said here."
    )
    scores_per_post: Count = Field(default=250, description="Scores in one request, at most (and 1 MB).")
    settle_seconds: Seconds = Field(default=10.0, description="How long stored scores may take to become readable.")

    @classmethod
    def of(cls, connection: Connection, root: Path) -> LangfuseSettings:
        """What a connection says, with every other setting at its default; files start from the project's root."""
        given = {name: getattr(connection, name) for name in cls.model_fields if hasattr(connection, name)}
        if connection.limits_file is not None:
            given["limits_file"] = str(root / connection.limits_file)
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Time and chance: `clock` counts seconds, `wall` tells the time of day. Clients that are given the same one share
    its `shelf`, and so the limits of an organisation.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Clock = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: Random = field(default_factory=Random)
    shelf: Shelf = field(default_factory=MemoryShelf)
