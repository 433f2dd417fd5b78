"""The labelled answers, and how the metric `refusal` does on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shared.scoring.metrics.refusal import refusal_phrase

ANSWERS = Path(__file__).with_name("refusals.txt")


class Quality(NamedTuple):
    """How many refusals and other answers there are, and how many of each were called refusals."""

    refusals: int
    others: int
    found: int
    false: int

    @property
    def recall(self) -> float:
        """Share of the refusals that were found."""
        return self.found / self.refusals

    @property
    def precision(self) -> float:
        """Share of what was called a refusal that is one."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0


def answers() -> list[tuple[str, bool]]:
    """Every answer, and whether it refuses."""
    lines = [line for line in ANSWERS.read_text(encoding="utf-8").splitlines() if line[:2] in ("+ ", "- ")]
    return [(line[2:].replace("\\n", "\n"), line[0] == "+") for line in lines]


def measured() -> Quality:
    """The metric on all of them."""
    said = [(refuses, refusal_phrase(text) is not None) for text, refuses in answers()]
    return Quality(
        sum(refuses for refuses, _ in said),
        sum(not refuses for refuses, _ in said),
        sum(refuses and called for refuses, called in said),
        sum(called and not refuses for refuses, called in said),
    )
