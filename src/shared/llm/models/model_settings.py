"""What every entry of the blocks `models` and `embeddings` takes besides its own parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.llm.budget.prices import Price
from shared.llm.openai.server_settings import BatchSettings

OFFLINE = "offline"
"""The model, and the embedding model, that every configuration has: on this machine, without a server."""


class ModelCommon(BaseModel):
    """What every entry of `models` takes besides its adapter's own parameters."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: str = Field(description="the adapter: openai_compatible, local, replay, offline, or package.module:attr")
    fallback: list[str] = Field(default_factory=list, description="models to ask, in this order, when it fails")
    record: str | None = Field(default=None, description="record every response in this JSONL file, for replay")
    cache: bool = Field(default=True, description="answer equal calls from the response cache")
    lane: Literal["direct", "batch"] = Field(default="direct", description="batch: the provider's batch API, cheaper")
    batch: BatchSettings | None = Field(default=None, description="how the batch lane gathers and waits")
    price: Price | None = Field(default=None, description="input, cached_input, output: US dollars per million tokens")


class EmbeddingCommon(BaseModel):
    """What every entry of `embeddings` takes besides its embedder's own parameters."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: str = Field(description="the embedder: offline, openai_compatible, or package.module:attr")
    price: Price | None = Field(default=None, description="input: US dollars per million tokens; output is 0")
