"""The parameters of the source `langfuse`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from shared.langfuse.api.connection import Connection
from shared.langfuse.api.read_queries import ObservationLevel

FieldGroup = Literal["basic", "time", "io", "metadata", "model", "usage", "prompt", "metrics", "trace_context"]


Minutes = Annotated[float, Field(ge=0, le=525_600, allow_inf_nan=False)]
Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class LangfuseSourceParams(Connection):
    """Parameters of the source `langfuse`, besides its window."""

    items: Literal["traces", "sessions"] = Field(default="traces", description="What is one item.")
    tags: Names | None = Field(default=None, description="Only traces with all of these tags.")
    trace_name: str | None = Field(default=None, min_length=1, description="Only traces of this name.")
    environment: str | Names | None = Field(default=None, description="Only this environment, or these.")
    trace_ids: Names | None = Field(default=None, description="Only these traces.")
    level: ObservationLevel | None = Field(default=None, description="Only traces with an observation of this level.")
    quiet_minutes: Minutes = Field(default=10.0, description="A trace is taken when nothing came for so long.")
    fields: list[FieldGroup] = Field(
        default=["io", "metadata", "model", "usage", "prompt", "metrics"],
        description="Field groups to read; basic and trace_context always come.",
    )
    expand_metadata: list[str] = Field(
        default=[], description="Metadata keys longer than 200 characters; others are found out."
    )

    @field_validator("expand_metadata")
    @classmethod
    def _keys_are_sendable(cls, value: list[str]) -> list[str]:
        if any(not each or "," in each for each in value):
            raise ValueError(f"expected metadata keys without commas, found {value!r}")
        return value

    @model_validator(mode="after")
    def _filters_go_together(self) -> LangfuseSourceParams:
        if self.items == "sessions" and (self.trace_ids or self.trace_name):
            raise ValueError("items: sessions goes by sessions; trace_ids and trace_name are for items: traces")
        if self.trace_ids and (self.tags or self.level or self.environment):
            raise ValueError("trace_ids name the traces; tags, level and environment go without them")
        return self

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments, as a tuple."""
        return (self.environment,) if isinstance(self.environment, str) else tuple(self.environment or ())

    @property
    def groups(self) -> tuple[str, ...]:
        """The field groups that a whole trace is read with."""
        return tuple(dict.fromkeys(("basic", "trace_context", *self.fields)))
