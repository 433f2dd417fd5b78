"""The parameters of the source `file`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Format = Literal["jsonl", "json", "csv", "parquet"]


class FileSourceParams(BaseModel):
    """Parameters of the source `file`, besides its window."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str | list[str] = Field(description="File, or glob such as traces/**/*.jsonl.gz; or a list of them.")
    format: Literal["auto"] | Format = Field(default="auto", description="auto: by the name's ending.")
    timestamp_field: str = Field(
        default="timestamp", min_length=1, description="Where a record keeps its time; a.b is nested."
    )

    @field_validator("path")
    @classmethod
    def _paths_are_usable(cls, value: str | list[str]) -> str | list[str]:
        patterns = [value] if isinstance(value, str) else value
        if not patterns or any(not each.strip() or "\0" in each for each in patterns):
            raise ValueError(f"expected a path or a list of paths, found {value!r}")
        return value

    @property
    def patterns(self) -> list[str]:
        """The paths and globs, as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)
