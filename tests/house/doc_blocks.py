"""The blocks of README and docs: fenced ones by their kind, and indented ones."""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.wiring.config.monitor_config import MonitorConfig
from tests.house.houseplan import ROOT, short

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}.*\n)+", re.M)
_KEY = re.compile(rf"(?:{'|'.join(MonitorConfig.model_fields)}):")


class Block(NamedTuple):
    """A block: where it begins, its kind (empty for an indented one), and its text."""

    where: str
    kind: str
    text: str


def doc_blocks() -> list[Block]:
    """Every block of README and docs."""
    return [block for page in PAGES for block in blocks_of(page.read_text(), short(page))]


def blocks_of(text: str, name: str) -> list[Block]:
    """The blocks of a page; paragraphs of an indented block are blocks of their own."""
    found = [(match.start(), match[1] or "plain", match[2]) for match in _FENCE.finditer(text)]
    prose = _FENCE.sub(lambda match: re.sub(r"[^\n]", "#", match[0]), text)  # of the same length
    for match in _INDENTED.finditer(prose):
        found.append((match.start(), "", re.sub(r"^ {4}", "", match[0], flags=re.M)))
    return [Block(f"{name}:{text.count(chr(10), 0, at) + 1}", kind, body) for at, kind, body in sorted(found)]


def python_blocks() -> list[Block]:
    """What a reader would run."""
    return [block for block in doc_blocks() if block.kind == "python"]


def yaml_blocks() -> list[Block]:
    """What a reader would put into a configuration: fenced as YAML, or indented under one of its keys."""
    found = [block for block in doc_blocks() if block.kind == "yaml" or (not block.kind and _KEY.match(block.text))]
    return [block for block in found if not block.where.startswith("docs/extending.md")]  # test_extending.py runs those
