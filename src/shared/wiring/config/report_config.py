"""The page of a run, and the segments of its scores."""

from __future__ import annotations

from pydantic import Field

from shared.wiring.config.checker import StrictModel


class Report(StrictModel):
    """The HTML file that a run writes."""

    path: str | None = Field(
        default="data/reports/{name}.html", description="{name} and {run_id} are filled in; null: none"
    )
    days: int = Field(default=30, ge=1, le=3650, description="days of history in the charts over time")
    trace_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]*\{trace_id\}[^\s]*$",
        description="where a trace is shown, with {trace_id} in it; by default in the Langfuse it was read from",
    )
    group_by: list[str] = Field(
        default_factory=list, description="segments: fields of an item, or of its metadata, such as prompt_version"
    )
