"""The underwriting handbook, and the rules in it as data, from which requests with known answers are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[1]

WORDS = {"accept": "accepted", "refer": "referred", "decline": "declined"}
"""A decision -> the word by which the handbook states it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of the handbook: a stable id, a title, two to three sentences."""

    id: str
    title: str
    text: str

    @property
    def line(self) -> str:
        """The passage as prompts show it."""
        return f"{self.title}: {self.text}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one passage lays down, as data.

    `decision` is accept, refer or decline, None where the passage decides nothing; `cases` are businesses that it
    decides. `answer` is the fact that `questions` ask for, as the passage words it; `negatives` are wrong facts.
    """

    passage: str
    decision: str | None
    cases: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str
    negatives: tuple[str, ...]


def load_handbook() -> tuple[Passage, ...]:
    """All passages, in the order of the file."""
    return tuple(Passage(**row) for row in _rows("handbook.jsonl"))


def load_rules() -> tuple[Rule, ...]:
    """All rules, one per passage, in the order of the file."""
    return tuple(
        Rule(
            row["passage"],
            row["decision"],
            tuple(row["cases"]),
            tuple(row["questions"]),
            row["answer"],
            tuple(row["negatives"]),
        )
        for row in _rows("rules.jsonl")
    )


def _rows(name: str) -> Iterator[dict[str, Any]]:
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
