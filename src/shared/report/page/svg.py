"""Markup from values: a tag that escapes, and axes with round ticks. Horizontal places are shares of the width, so
that a chart fits any page without shrinking its text.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from shared.report.text.formatting import clean


class Html(str):
    """Text that is markup already; templates leave it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def escape(text: str) -> Html:
    """The text as markup that shows it."""
    return text if isinstance(text, Html) else Html(html.escape(clean(text)))


def tag(name: str, *children: str, **attributes: str | float) -> Html:
    """An element. Children that are not `Html` are escaped; `class_` is `class`, `text_anchor` is `text-anchor`.

    Raises:
        ValueError: for a number that is not finite: it would draw nothing, or the wrong thing, in silence.
    """
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    pairs = "".join(f' {key}="{escape(_value(value))}"' for key, value in named)
    return Html(f"<{name}{pairs}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Markup one after the other."""
    return Html("".join(map(escape, children)))


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number in a chart, found {value!r}")
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent_position(share: float) -> str:
    """A place along the width, as SVG writes it; a little outside is allowed, anything else is held at the edge."""
    if not math.isfinite(share):
        raise ValueError(f"expected a finite number in a chart, found {share!r}")
    return f"{100 * min(max(share, -0.05), 1.05):.3f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True, slots=True)
class Axis:
    """A range with its ticks, each a value and its label."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def position(self, value: float) -> float:
        """Where the value lies, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)

    def percent(self, value: float) -> str:
        """The same, as SVG writes it."""
        return percent_position(self.position(value))

    def contains(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self.low <= value <= self.high


def make_axis(low: float, high: float, count: int = 5, snap: bool = True) -> Axis:
    """An axis over [low, high] with about `count` ticks at 1, 2 or 5 times a power of ten; `snap` ends it on ticks."""
    if high - low <= 1e-12 * max(abs(low), abs(high), 1.0):
        pad = max(abs(low) * 0.1, 0.5)
        low, high = low - pad, high + pad
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if snap:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        low, high = first * step, last * step
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return Axis(low, high, tuple((k * step, format_tick(k * step, decimals)) for k in range(first, last + 1)))


def format_tick(value: float, decimals: int) -> str:
    """A tick's label."""
    if abs(value) >= 1e6 or decimals > 5:
        return f"{value:.3g}".replace("-", "−")
    return f"{value + 0.0:,.{decimals}f}".replace("-", "−")
