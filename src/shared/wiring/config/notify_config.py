"""The model of the entries of `notify:`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.wiring.config.checker import StrictModel

Topic = Literal["alerts", "failures", "gates", "runs"]


class NotifierCommon(StrictModel):
    """What every notifier takes."""

    type: str = Field(description="the kind of notifier: a name, or package.module:attr")
    name: str = Field(default="", description="what alerts call it; default: its type")
    on: list[Topic] = Field(
        default=["alerts", "failures", "gates"],
        min_length=1,
        description="what it is told: alerts, failures and missed gates of runs, or runs: all of them",
    )
