"""Tables and sentences in plain text, as wide as they need to be: what commands print of stored runs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

Row = Sequence[str]


def align_columns(head: Row, rows: Sequence[Row], left: int = 1) -> list[str]:
    """Lines with the columns under one another; the first `left` of them begin at their left edge, the rest end at
    their right."""
    table = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return [
        "  ".join(
            each.ljust(width) if column < left else each.rjust(width)
            for column, (each, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def wrap_text(text: str, first: str = "", width: int = 100) -> list[str]:
    """A sentence in lines of at most `width` letters, those after the first two further in than the first."""
    inside = " " * (len(first) - len(first.lstrip()) + 2)
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=inside, break_on_hyphens=False)
