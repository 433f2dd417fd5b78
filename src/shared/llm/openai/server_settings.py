"""Settings of an OpenAI-compatible server, for answers, embeddings and batches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.http.client_settings import ApiKey, Count, Headers, PositiveSeconds, check_base_url

SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ServerAddress(BaseModel):
    """Where one model of one OpenAI-compatible server is. Keys and headers are never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    base_url: str = Field(description="Where the API begins, usually ending in /v1.")
    model: str = Field(min_length=1, description="The model's name, as the server lists it.")
    api_key: ApiKey | None = Field(default=None, description="Sent as a bearer token.")
    headers: Headers = Field(default={}, description="Further headers of every request.")
    name: str | None = Field(default=None, min_length=1, description="What results are recorded under (the model).")
    timeout: PositiveSeconds = Field(default=60.0, description="Seconds without a byte of the answer.")
    connect_timeout: PositiveSeconds = Field(default=5.0, description="Seconds to establish the connection.")
    total_timeout: PositiveSeconds = Field(
        default=600.0, description="Seconds for one answer, from first to last byte."
    )

    @field_validator("base_url")
    @classmethod
    def _url_is_usable(cls, value: str) -> str:
        example = "https://api.openai.com/v1 or http://127.0.0.1:8000/v1"
        return check_base_url(value, example, "keys belong in api_key")


class ServerSettings(ServerAddress):
    """An address, and the limits that requests to it keep to."""

    max_concurrent: Count = Field(default=16, description="Concurrent requests; fewer after the server answers 429.")
    requests_per_minute: Count | None = Field(default=None, description="Never more in any 60 seconds.")
    tokens_per_minute: Count | None = Field(default=None, description="Input and output together, to within a request.")
    limits_file: str | None = Field(default=None, description="A file by which several processes share the limits.")
    tries: Count = Field(
        default=3, description="Attempts of one call: 408, 409, 429, 5xx and lost connections are retried."
    )
    max_wait: PositiveSeconds = Field(default=60.0, description="The longest Retry-After that is honoured, in seconds.")
    breaker_failures: Count = Field(default=12, description="Failures in a row after which the server is left alone.")
    breaker_seconds: PositiveSeconds = Field(
        default=30.0, description="Seconds that it is left alone; then one request tests it."
    )
    patience: PositiveSeconds = Field(
        default=600.0, description="Seconds without any answer after which it is left alone too."
    )
    max_response_mb: PositiveSeconds = Field(default=20.0, description="A longer answer is refused while it is read.")


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

    gather: SecondsOrZero = Field(default=5.0, description="Seconds after the first question until its batch is sent.")
    wait: SecondsOrZero = Field(
        default=0.0, description="Seconds that a run waits for answers in all, from its first question."
    )
    max_requests: Annotated[int, Field(ge=1, le=50_000)] = Field(
        default=50_000, description="A batch is sent as soon as it has so many; more go into several."
    )
    max_file_mb: PositiveSeconds = Field(default=190.0, description="The same by size; OpenAI takes 200, Groq 100.")
    completion_window: str = Field(default="24h", min_length=1, description="What the provider is asked to keep to.")
