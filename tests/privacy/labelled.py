"""The labelled set and how a redactor does on it.

`cases.jsonl` holds one case a line: a text, and the spans that a redactor must find, each with its kind. A span is
*found* when findings of its kind cover all of it; a finding is *right* when it touches a span of its kind.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from shared.privacy.redaction import KINDS, Finding, Redactor

CASES = Path(__file__).with_name("cases.jsonl")


class Case(NamedTuple):
    """A text and what is in it."""

    text: str
    spans: tuple[Finding, ...]


class Quality(NamedTuple):
    """How many spans there were, how many were found, how many findings there were, how many were right."""

    spans: int
    found: int
    findings: int
    right: int

    @property
    def recall(self) -> float:
        """Share of spans that were found."""
        return self.found / self.spans if self.spans else 1.0

    @property
    def precision(self) -> float:
        """Share of findings that were right."""
        return self.right / self.findings if self.findings else 1.0


def cases() -> list[Case]:
    """Every case of the set."""
    rows = map(json.loads, CASES.read_text(encoding="utf-8").splitlines())
    return [Case(row["text"], tuple(Finding(*span) for span in row["spans"])) for row in rows]


def measured(redactor: Redactor) -> dict[str, Quality]:
    """Quality by kind, and under `all` together."""
    spans, found, findings, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for case in cases():
        hits = redactor.find(case.text)
        for span in case.spans:
            spans[span.kind] += 1
            found[span.kind] += any(hit.kind == span.kind and covers(hit, span) for hit in hits)
        for hit in hits:
            findings[hit.kind] += 1
            right[hit.kind] += any(touches(hit, span) for span in case.spans)
    table = {kind: Quality(spans[kind], found[kind], findings[kind], right[kind]) for kind in KINDS}
    totals = [each.total() for each in (spans, found, findings, right)]
    return table | {"all": Quality(*totals)}


def covers(hit: Finding, span: Finding) -> bool:
    """Whether nothing of the span is left."""
    return hit.start <= span.start and hit.end >= span.end


def touches(hit: Finding, span: Finding) -> bool:
    """Whether a finding is about the span."""
    return hit.kind == span.kind and hit.start < span.end and span.start < hit.end
