"""Text and numbers as a person reads them. What comes from traces is hostile: it is made visible, never obeyed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.core.clock import as_utc

# Left alone: tab and line feed. Control characters become their pictures, what turns the direction of writing its name.
_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"}
_VISIBLE |= {0x7F: "␡", **dict.fromkeys(range(0x80, 0xA0), "�"), 0xFFFE: "�", 0xFFFF: "�"}
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "�")
_TURNS = (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
_VISIBLE |= {code: f"⟨U+{code:04X}⟩" for code in _TURNS}


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a text, and how many characters more there were."""

    text: str
    more: int = 0


def clean(text: str) -> str:
    """The text with everything invisible that could mislead made visible, and nothing that UTF-8 cannot hold."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def line(text: str, limit: int = 120) -> str:
    """The text as one line of at most `limit` characters, the last an ellipsis where something is missing."""
    head = " ".join(clean(text[: 4 * limit]).split())
    return head if len(head) <= limit and len(text) <= 4 * limit else head[: limit - 1].rstrip() + "…"


def truncate(text: str, limit: int) -> Text:
    """The first `limit` characters, cleaned, and how many more there were."""
    return Text(clean(text[:limit]), max(0, len(text) - limit))


def format_number(value: float | None, decimals: int | None = None) -> str:
    """A number with thousands separators; without `decimals`, with at most three significant digits."""
    if value is None or not math.isfinite(value):
        return "–" if value is None else str(value)
    if decimals is None:
        decimals = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
        while decimals and round(value, decimals) == round(value, decimals - 1):
            decimals -= 1
    if abs(value) >= 1e9 or (value and decimals > 6):
        return f"{value:.3g}"
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0: no minus before a zero


def format_interval(value: float | None, low: float | None, high: float | None, scale: float = 1.0) -> tuple[str, str]:
    """A value and its interval `[low, high]`, with as many digits as the interval's width deserves."""
    if value is None:
        return "–", ""
    value *= scale
    if low is None or high is None or not math.isfinite(high - low):
        return format_number(value), ""
    low, high = low * scale, high * scale
    width = high - low
    decimals: int | None = 1  # percentages line up
    if scale == 1.0:
        decimals = min(max(1 - math.floor(math.log10(width / 2)), 0), 3) if width > 0 else None
    return format_number(value, decimals), f"[{format_number(low, decimals)}, {format_number(high, decimals)}]"


def format_percent(share: float | None) -> str:
    """A share as a percentage with one decimal, unbreakable; small but not zero is said so."""
    if share is None:
        return "–"
    return "< 0.1\u00a0%" if 0 < share < 0.001 else f"{100 * share:.1f}\u00a0%"


def format_probability(value: float | None) -> str:
    """A probability of being drawn, never rounded to 0 or, unless it is, to 1."""
    if value is None:
        return "none"
    return "1" if value == 1.0 else f"{min(value, 0.9999):.4g}"


def format_duration(seconds: float | None) -> str:
    """A span of time in the two units that matter."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def format_time(value: datetime | None) -> str:
    """A time in UTC, said so."""
    return "–" if value is None else as_utc(value).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_dollars(cost: float | None) -> str:
    """A cost in US dollars."""
    return "–" if cost is None else f"${cost:,.4f}" if 0 < cost < 0.1 else f"${cost:,.2f}"


def align_columns(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
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
