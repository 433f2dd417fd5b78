"""The models of the blocks `labels:` and `anchors:`."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field, field_validator

from shared.report.records.judge_records import Chosen
from shared.wiring.config.checker import StrictModel


class LabelsCommon(StrictModel):
    """What every label source takes."""

    type: str = Field(description="the kind of label source, such as file")
    chosen: Chosen = Field(default="at_random", description="how the labelled items were chosen among the judged ones")


_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Anchors(StrictModel):
    """A frozen file of items with human labels, judged again when a judge changes and on a schedule."""

    path: str = Field(min_length=1, description="one file of items, each with labels: {metric name: value}")
    extractor: str = Field(default="item", description="turns a record into an item: a name or package.module:attr")
    every: str | None = Field(
        default=None,
        description="judge them again after: 12h, 7d, 2w; default: never",
    )
    metrics: list[str] = Field(
        default_factory=list, description="metrics that judge them; empty: those with labels in the file"
    )
    repeats: int = Field(default=1, ge=1, le=20, description="votes on each anchor, to measure how a judge varies")

    @field_validator("every")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[1-9]\d{0,4}[mhdw]", value):
            raise ValueError(f"expected a number with m, h, d or w such as 12h or 7d, found {value!r}")
        return value

    @property
    def interval(self) -> timedelta | None:
        """How long a pass stands; None for ever."""
        return None if self.every is None else timedelta(**{_UNITS[self.every[-1]]: int(self.every[:-1])})
