"""Settings of the connection to a Langfuse server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.http.client_settings import ApiKey, Count, PositiveSeconds, check_base_url

Bucket = Literal["general", "tracing", "datasets", "metrics", "legacy", "deletion"]
"""What Langfuse Cloud counts apart. Prompts and /health are not counted."""


class Connection(BaseModel):
    """How one project on one server is reached. Keys are never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    base_url: str = Field(description="Where Langfuse is, without /api/public.")
    public_key: ApiKey = Field(min_length=1, description="The project's public key (pk-lf-...).")
    secret_key: ApiKey = Field(min_length=1, description="The project's secret key (sk-lf-...).")
    timeout: PositiveSeconds = Field(default=30.0, description="Seconds without a byte of the answer.")
    connect_timeout: PositiveSeconds = Field(default=5.0, description="Seconds to establish the connection.")
    tries: Count = Field(
        default=4, description="Attempts of one request: 408, 409, 5xx and lost connections are retried."
    )
    max_wait: PositiveSeconds = Field(default=120.0, description="The longest wait for a rate limit or a Retry-After.")
    max_concurrent: Count = Field(default=8, description="Concurrent requests.")
    limits: dict[Bucket, Count] = Field(
        default={}, description="Requests a minute of the plan, where known; else they are learnt from the first 429."
    )
    limits_file: str | None = Field(default=None, description="A file by which several processes share the limits.")
    organisation: str | None = Field(default=None, description="A name that key pairs of one organisation share.")
    max_response_mb: PositiveSeconds = Field(default=64.0, description="A longer answer is refused while it is read.")

    @field_validator("base_url")
    @classmethod
    def _url_is_usable(cls, value: str) -> str:
        example = "https://langfuse.example.com or http://127.0.0.1:3000"
        return check_base_url(value, example, "keys have their own fields").removesuffix("/api/public").rstrip("/")


class LangfuseSettings(Connection):
    """A connection, and how scores are sent over it."""

    scores_by: Literal["auto", "array", "single", "ingestion"] = Field(
        default="auto", description="How scores are sent: by the server's version, or as said here."
    )
    scores_per_post: Count = Field(default=250, description="Scores in one request, at most (and 1 MB).")
    settle_seconds: PositiveSeconds = Field(
        default=10.0, description="How long stored scores may take to become readable."
    )

    @classmethod
    def from_connection(cls, connection: Connection, root: Path) -> LangfuseSettings:
        """A connection's settings, every other one at its default; a relative file starts from the project's root."""
        given = {name: getattr(connection, name) for name in cls.model_fields if hasattr(connection, name)}
        if connection.limits_file is not None:
            given["limits_file"] = str(root / connection.limits_file)
        return cls(**given)
