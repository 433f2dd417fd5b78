"""The page's charts. Plain SVG with text of fixed size: width follows the page, height is given."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shared.report.page.svg import Axis, Html, join, make_axis, percent_position, tag
from shared.report.records.histogram import Distribution, HistogramBar
from shared.report.records.page_records import MetricView
from shared.report.text.formatting import format_interval, format_number, format_percent, line

_PLOT = 112.0
_TOP = 18.0
_ROW = 38.0


def figure(height: float, title: str, description: str, *children: str) -> Html:
    """A chart that says in words what it shows."""
    head = (tag("title", title), tag("desc", description))
    return tag("svg", *head, *children, class_="chart", role="img", width="100%", height=height)


def draw_label(x: str, y: float, text: str, anchor: str = "middle", kind: str = "tick") -> Html:
    """A piece of text in a chart."""
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=kind)


def rule(ends: tuple[str, float, str, float], kind: str) -> Html:
    """A straight line: x1, y1, x2, y2."""
    return tag("line", x1=ends[0], y1=ends[1], x2=ends[2], y2=ends[3], class_=kind)


def draw_horizontal_grid(scale: Axis, top: float, height: float, unit: str = "") -> Html:
    """Horizontal grid lines with their labels at the left."""
    lines = []
    for value, text in scale.ticks:
        y = top + height * (1 - scale.position(value))
        lines += [rule(("0", y, "100%", y), "grid"), draw_label("-6", y + 4, text + unit, "end")]
    return join(*lines)


def draw_vertical_grid(scale: Axis, top: float, height: float, unit: str = "") -> Html:
    """Labels below, each with a short tick."""
    out = []
    for value, text in scale.ticks:
        x = scale.percent(value)
        out += [rule((x, top + height, x, top + height + 4), "axis"), draw_label(x, top + height + 17, text + unit)]
    return join(*out)


def pass_rates(metrics: Sequence[MetricView]) -> Html | None:
    """A dot and its 95 % whisker for every metric that has a pass rate; None when none has."""
    rated = [each for each in metrics if each.estimate.pass_rate is not None]
    if not rated:
        return None
    scale = make_axis(0, 100, 5)
    height = _ROW * len(rated)
    parts: list[Html] = [draw_vertical_grid(scale, 0, height, " %")]
    for value, _ in scale.ticks:
        x = scale.percent(value)
        parts.append(rule((x, 0, x, height), "grid"))
    said = []
    for index, each in enumerate(rated):
        row, words = _rate_row(each, scale, index * _ROW)
        parts.append(row)
        said.append(words)
    return figure(height + 24, "Pass rates with 95 % intervals", "; ".join(said[:40]), *parts)


def _rate_row(metric: MetricView, scale: Axis, top: float) -> tuple[Html, str]:
    at = metric.estimate
    rate = 100 * (at.pass_rate or 0.0)
    value, bounds = format_interval(at.pass_rate, at.pass_low, at.pass_high, 100)
    name, y = line(metric.label, 44), top + 26
    estimated = f"{value}\u00a0% {bounds}".strip()
    # Above the whisker where the page is narrow, beside it where it is wide: the style sheet shows one pair.
    parts = [
        draw_label("0", top + 13, name, "start", "name above"),
        draw_label("100%", top + 13, estimated, "end", "value above"),
        draw_label("-14", y + 5, line(metric.label, 28), "end", "name beside"),
        tag("svg", draw_label("14", y + 5, estimated, "start", "value beside"), x="100%", overflow="visible"),
    ]
    if at.pass_low is not None and at.pass_high is not None:
        low, high = (
            scale.percent(100 * at.pass_low),
            scale.percent(100 * at.pass_high),
        )
        parts += [rule((low, y, high, y), "whisker"), *(rule((x, y - 5, x, y + 5), "whisker") for x in (low, high))]
    parts.append(tag("circle", cx=scale.percent(rate), cy=y, r=5, class_="dot"))
    words = f"{name}: {estimated}"
    return tag("g", tag("title", f"{words}, n = {at.n:,}"), *parts), words


def value_range(metric: MetricView) -> tuple[float | None, float | None]:
    """Where values can be: as declared, else 0 to 1 where all of them look like shares, else above 0 if all are."""
    found = metric.distribution
    if metric.range != (None, None) or found is None or found.low < 0:
        return metric.range
    return (0.0, 1.0 if found.high <= 1 and (found.high > 0.5 or found.low == 0.0) else None)


def value_axis(metric: MetricView, found: Distribution) -> Axis:
    """The range of a metric's values: the declared one, or 0 to 1 where the values say so, or where the bars are."""
    edges = [edge for bar in found.bars for edge in (bar.low, bar.high) if math.isfinite(edge)] or [0.0, 1.0]
    low, high = min(edges), max(edges)
    floor, ceiling = value_range(metric)
    if floor is not None and ceiling is not None and floor <= low and high <= ceiling:
        low, high = floor, ceiling
    threshold = metric.estimate.threshold
    reach = (high - low) / 2
    if threshold is not None and low - reach <= threshold <= high + reach:
        low, high = min(low, threshold), max(high, threshold)
    return make_axis(low, high, 5, snap=found.constant or all(bar.low == bar.high for bar in found.bars))


def distribution(metric: MetricView) -> Html | None:
    """How the scores are spread, with the threshold drawn in; None without scores."""
    found = metric.distribution
    if found is None or not found.bars:
        return None
    single = all(bar.low == bar.high for bar in found.bars)
    inner = value_axis(metric, found)
    widths = [bar.high - bar.low for bar in found.bars if math.isfinite(bar.high - bar.low)]
    width = (inner.high - inner.low) * 0.05 if single else max(widths, default=1.0)
    scale = _widen_axis(inner, found.bars, width, single)
    heights = make_axis(0, 100 * max(bar.share for bar in found.bars), 2)
    bars = [_bar(bar, scale, heights, width) for bar in found.bars]
    return figure(
        _TOP + _PLOT + 36,
        f"Distribution of {line(metric.label, 60)}",
        f"{found.n:,} scores from {format_number(found.low)} to {format_number(found.high)}",
        draw_horizontal_grid(heights, _TOP, _PLOT, " %"),
        *bars,
        rule(("0", _TOP + _PLOT, "100%", _TOP + _PLOT), "axis"),
        draw_vertical_grid(scale, _TOP, _PLOT),
        draw_label("50%", _TOP + _PLOT + 33, "score", kind="tick unit"),
        threshold_column(metric, scale),
    )


def _widen_axis(inner: Axis, bars: Sequence[HistogramBar], width: float, single: bool) -> Axis:
    """Room at the ends for bars that stand on them, or that hold what lies beyond."""
    left = width * (1.0 if single else 1.5 if math.isinf(bars[0].low) else 0.0)
    right = width * (1.0 if single else 1.5 if math.isinf(bars[-1].high) else 0.0)
    return Axis(inner.low - left, inner.high + right, inner.ticks)


def _bar(bar: HistogramBar, scale: Axis, heights: Axis, width: float) -> Html:
    if bar.low == bar.high:
        start, end, words = bar.low - width / 2, bar.low + width / 2, format_number(bar.low)
    elif math.isinf(bar.low):
        start, end, words = scale.low, scale.low + width, f"below {format_number(bar.high)}"
    elif math.isinf(bar.high):
        start, end, words = scale.high - width, scale.high, f"{format_number(bar.low)} and above"
    else:
        start, end, words = bar.low, bar.high, f"{format_number(bar.low)} to {format_number(bar.high)}"
    title = f"{words}: {bar.n:,} ({format_percent(bar.share)})"
    parts: list[Html] = [tag("title", title + (f", {format_percent(bar.failed)} not passed" if bar.failed else ""))]
    x, wide = scale.percent(start), percent_position((end - start) / (scale.high - scale.low))
    bottom = _TOP + _PLOT
    for share, kind in ((bar.failed, "bar fail"), (bar.share - bar.failed, "bar")):
        tall = max(_PLOT * 100 * share / heights.high, 1.5 if share > 1e-9 else 0.0)
        if tall:
            bottom -= tall
            parts.append(tag("rect", x=x, y=bottom, width=wide, height=tall, class_=kind))
    if math.isinf(bar.low) or math.isinf(bar.high):
        middle = scale.percent((start + end) / 2)
        parts.append(draw_label(middle, bottom - 4, "◂" if math.isinf(bar.low) else "▸"))
    return tag("g", *parts)


def threshold_words(metric: MetricView) -> str:
    """On which side of which number the metric passes."""
    sign = {"at_least": "≥ ", "below": "< ", None: ""}[metric.direction]
    return "–" if metric.estimate.threshold is None else sign + format_number(metric.estimate.threshold)


def threshold_column(metric: MetricView, scale: Axis) -> Html:
    """The threshold as an upright line with its words, or an arrow to where it lies outside."""
    threshold = metric.estimate.threshold
    if threshold is None:
        return Html()
    words = f"passes {threshold_words(metric)}" if metric.direction else f"threshold {format_number(threshold)}"
    at = scale.position(threshold)
    if at < 0:
        return draw_label("0", 11, f"← {words}", "start", "threshold-words")
    if at > 1:
        return draw_label("100%", 11, f"{words} →", "end", "threshold-words")
    x, beside = percent_position(at), ("-5", "end") if at > 0.5 else ("5", "start")
    label = draw_label(beside[0], 11, words, beside[1], "threshold-words")
    return join(rule((x, 3, x, _TOP + _PLOT), "threshold"), tag("svg", label, x=x, overflow="visible"))
