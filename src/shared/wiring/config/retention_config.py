"""How long texts stay in the state."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field, field_validator

from shared.wiring.config.checker import StrictModel

_DAYS = re.compile(r"^([1-9]\d{0,3})d$")


def parse_keep(text: str) -> timedelta:
    """A number of days such as 90d.

    Raises:
        ValueError: for anything else.
    """
    found = _DAYS.match(text)
    if found is None:
        raise ValueError(f"expected a number of days from 1d to 9999d, such as 90d, found {text!r}")
    return timedelta(days=int(found[1]))


class RetentionConfig(StrictModel):
    """What each run drops of the state."""

    keep: str = Field(
        description="texts, finished messages and skipped records older than this are dropped, such as 90d"
    )

    @field_validator("keep")
    @classmethod
    def _is_days(cls, value: str) -> str:
        parse_keep(value)
        return value
