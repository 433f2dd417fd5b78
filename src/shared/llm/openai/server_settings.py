"""What a user may say of an OpenAI-compatible server, and what a test may put in place of time and chance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from shared.core.clock import Clock, utc_now

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class ServerSettings(BaseModel):
    """How to reach one model of one OpenAI-compatible server. Keys and headers are never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    base_url: str = Field(description="Where the API begins, usually ending in /v1.")
    model: str = Field(min_length=1, description="The model's name, as the server lists it.")
    api_key: SecretStr | None = Field(default=None, description="Sent as a bearer token.")
    headers: dict[str, SecretStr] = Field(default={}, description="Further headers of every request.")
    name: str | None = Field(default=None, min_length=1, description="What results are recorded under (the model).")
    timeout: Seconds = Field(default=60.0, description="Seconds without a byte of the answer.")
    connect_timeout: Seconds = Field(default=5.0, description="Seconds for the connection to stand.")
    total_timeout: Seconds = Field(default=600.0, description="Seconds for one answer, from first to last byte.")
    max_concurrent: Count = Field(default=16, description="Requests at once; fewer after the server answers 429.")
    requests_per_minute: Count | None = Field(default=None, description="Never more in any 60 seconds.")
    tokens_per_minute: Count | None = Field(default=None, description="Input and output together, to within a request.")
    limits_file: str | None = Field(default=None, description="A file by which several processes share the limits.")
    tries: Count = Field(default=3, description="Of one call: 408, 409, 429, 5xx and lost connections are tried again.")
    max_wait: Seconds = Field(default=60.0, description="The longest Retry-After that is waited for.")
    breaker_failures: Count = Field(default=12, description="Failures in a row after which the server is left alone.")
    breaker_seconds: Seconds = Field(default=30.0, description="For so long; then one request tries it.")
    patience: Seconds = Field(default=600.0, description="Without any answer for so long, it is left alone too.")
    max_response_mb: Seconds = Field(default=20.0, description="A longer answer is refused while it is read.")

    @field_validator("base_url")
    @classmethod
    def _url_is_usable(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("expected an address such as https://api.openai.com/v1 or http://127.0.0.1:8000/v1")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("expected an address without user, password, query or fragment; keys belong in api_key")
        return value.rstrip("/")


class OpenAISettings(ServerSettings):
    """Parameters of the adapter `openai_compatible`."""

    plain_prompts: Literal["chat", "completions"] = Field(
        default="chat", description="A text is sent as a user's message, or to /completions to be continued."
    )
    logprobs: bool = Field(default=True, description="Ask for token logprobs.")
    check_model: bool = Field(default=True, description="Refuse a model that the server does not list.")


class EmbeddingSettings(ServerSettings):
    """Parameters of the embedder `openai_compatible`."""

    batch_size: Count = Field(default=64, description="Texts sent in one request, at most.")
    dimensions: Count | None = Field(default=None, description="Length of the vectors, for servers that can shorten.")
    max_chars: Count = Field(default=20_000, description="Of a longer text the first so many characters are sent.")


class BatchSettings(BaseModel):
    """How questions go through the provider's batch API: `batch: {...}` beside `lane: batch`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gather: Wait = Field(default=5.0, description="Seconds after the first question until its batch is sent.")
    wait: Wait = Field(default=0.0, description="Seconds that a run waits for answers in all, from its first question.")
    max_requests: Annotated[int, Field(ge=1, le=50_000)] = Field(
        default=50_000, description="A batch is sent as soon as it has so many; more go into several."
    )
    max_file_mb: Seconds = Field(default=190.0, description="The same by size; OpenAI takes 200, Groq 100.")
    completion_window: str = Field(default="24h", min_length=1, description="What the provider is asked to keep to.")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Time and chance: `clock` counts seconds, `wall` tells the time of day (for a Retry-After that is a date)."""

    clock: Callable[[], float] = time.monotonic
    wall: Clock = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: Random = field(default_factory=Random)
