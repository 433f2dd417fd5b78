"""The labelled names, and how a finder of names does on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.privacy.labelled import Quality

Span = tuple[int, int]
NAMES = Path(__file__).with_name("names.txt")
_NAME = re.compile(r"\{(.*?)\}")


def texts() -> list[tuple[str, tuple[Span, ...]]]:
    """Every text, and where the names are in it."""
    lines = [line for line in NAMES.read_text(encoding="utf-8").splitlines() if not line.startswith("# ")]
    return [_read(line.replace("\\n", "\n")) for line in lines]


def measured(finder: Callable[[str], Iterable[Span]]) -> Quality:
    """A name is found when findings cover all of it; a finding is right when it touches a name."""
    spans = found = findings = right = 0
    for text, names in texts():
        hits = list(finder(text))
        spans += len(names)
        findings += len(hits)
        found += sum(any(hit[0] <= name[0] and name[1] <= hit[1] for hit in hits) for name in names)
        right += sum(any(hit[0] < name[1] and name[0] < hit[1] for name in names) for hit in hits)
    return Quality(spans, found, findings, right)


def _read(line: str) -> tuple[str, tuple[Span, ...]]:
    text, names, done = "", [], 0
    for found in _NAME.finditer(line):
        text += line[done : found.start()]
        names.append((len(text), len(text) + len(found[1])))
        text, done = text + found[1], found.end()
    return text + line[done:], tuple(names)
