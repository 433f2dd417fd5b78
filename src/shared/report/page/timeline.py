"""The chart of scores over time: a mean with its band for each day, days without scores left open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from shared.report.page.charts import draw_horizontal_grid, draw_label, figure, rule, value_range
from shared.report.page.svg import Axis, Html, join, make_axis, percent_position, tag
from shared.report.records.page_records import DayPoint, MetricView
from shared.report.text.formatting import format_interval, format_number, line

_PLOT = 116.0
_TOP = 8.0
_STRIP = 20.0
_BASE = _TOP + _PLOT + 14 + _STRIP


def first_and_last_day(metrics: Sequence[MetricView]) -> tuple[date, date] | None:
    """The first and the last day that any metric has; None without history."""
    days = [point.day for each in metrics for point in each.days]
    return (min(days), max(days)) if days else None


def draw_timeline(metric: MetricView, ends: tuple[date, date]) -> Html | None:
    """One metric by day between the ends, which all metrics share; None where it has no mean on any day."""
    points = [point for point in metric.days if point.mean is not None]
    if not points:
        return None
    count = (ends[1] - ends[0]).days + 1
    scale = _value_axis(metric, points)
    most = max(point.n for point in metric.days)
    return figure(
        _BASE + 22,
        f"{line(metric.label, 60)} by day",
        f"{len(points)} days with scores, {points[0].day} to {points[-1].day}, at most {most:,} scores a day",
        draw_horizontal_grid(scale, _TOP, _PLOT),
        _draw_threshold(metric, scale),
        _band_and_line(points, scale, ends[0], count),
        *(_dot(point, scale, _place(point, ends[0], count), len(run) == 1) for run in _runs(points) for point in run),
        _counts(metric.days, most, ends[0], count),
        _dates(ends[0], count),
    )


def draw_sparkline(metric: MetricView) -> Html | None:
    """The means by day as a small line without axes; None with fewer than two days."""
    points = [(point.day, point.mean) for point in metric.days if point.mean is not None]
    if len(points) < 2:
        return None
    means = [mean for _, mean in points]
    scale, first, last = make_axis(min(means), max(means), snap=False), points[0][0], points[-1][0]
    width = (last - first).days
    spots = " ".join(
        f"{100 * (day - first).days / width:.1f},{20 * (1 - scale.position(mean)):.1f}" for day, mean in points
    )
    words = f"{first} to {last}: {format_number(means[0])} to {format_number(means[-1])}"
    shape = tag("polyline", points=spots, class_="mean")
    parts = (tag("title", f"{line(metric.label, 60)}, mean by day"), tag("desc", words), shape)
    return tag("svg", *parts, class_="spark", role="img", viewBox="0 -1 100 22", preserveAspectRatio="none")


def _place(point: DayPoint, first: date, count: int) -> float:
    return ((point.day - first).days + 0.5) / count


def _value_axis(metric: MetricView, points: Sequence[DayPoint]) -> Axis:
    means = [point.mean for point in points if point.mean is not None]
    # The whole band is on the axis: an interval cut off would look surer than it is.
    low = min([*means, *(point.low for point in points if point.low is not None)])
    high = max([*means, *(point.high for point in points if point.high is not None)])
    floor, ceiling = value_range(metric)
    if floor is not None and ceiling is not None:  # a little noise shall not look like a landslide
        pad = max(0.0, 0.1 * (ceiling - floor) - (high - low) / 2)
        low, high = max(floor, low - pad), min(ceiling, high + pad)
    scale = make_axis(max(low, floor) if floor is not None else low, high, 4)
    if floor is not None and scale.low < floor <= low:
        scale = Axis(floor, scale.high, tuple(each for each in scale.ticks if each[0] >= floor))
    if ceiling is not None and scale.high > ceiling >= high:
        scale = Axis(scale.low, ceiling, tuple(each for each in scale.ticks if each[0] <= ceiling))
    return scale


def _y(scale: Axis, value: float) -> float:
    return _TOP + _PLOT * (1 - min(max(scale.position(value), 0.0), 1.0))


def _draw_threshold(metric: MetricView, scale: Axis) -> Html:
    threshold = metric.estimate.threshold
    if threshold is None or not scale.contains(threshold):
        return Html()
    y = _y(scale, threshold)
    return rule(("0", y, "100%", y), "threshold")


def _runs(points: Sequence[DayPoint]) -> list[list[DayPoint]]:
    """The points in groups of days that follow one another."""
    runs = [[points[0]]]
    for before, point in pairwise(points):
        if point.day - before.day == timedelta(days=1):
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _band_and_line(points: Sequence[DayPoint], scale: Axis, first: date, count: int) -> Html:
    shapes = []
    for run in _runs(points):
        spots = [(1000 * _place(point, first, count), point) for point in run]
        for banded in _split_by_interval(spots):
            upper = [f"{x:.1f},{_y(scale, point.high or 0.0):.1f}" for x, point in banded]
            lower = [f"{x:.1f},{_y(scale, point.low or 0.0):.1f}" for x, point in reversed(banded)]
            shapes.append(tag("polygon", points=" ".join(upper + lower), class_="band"))
        means = " ".join(f"{x:.1f},{_y(scale, point.mean or 0.0):.1f}" for x, point in spots)
        shapes.append(tag("polyline", points=means, class_="mean"))
    box = f"0 0 1000 {_BASE:.0f}"
    return tag("svg", *shapes, viewBox=box, preserveAspectRatio="none", width="100%", height=_BASE)


def _split_by_interval(spots: list[tuple[float, DayPoint]]) -> list[list[tuple[float, DayPoint]]]:
    """The stretches of neighbouring days that all have an interval."""
    stretches: list[list[tuple[float, DayPoint]]] = [[]]
    for spot in spots:
        if spot[1].low is None or spot[1].high is None:
            stretches.append([])
        else:
            stretches[-1].append(spot)
    return [each for each in stretches if len(each) > 1]


def _dot(point: DayPoint, scale: Axis, place: float, alone: bool) -> Html:
    x = percent_position(place)
    value, bounds = format_interval(point.mean, point.low, point.high)
    parts: list[Html] = [tag("title", f"{point.day}: {value} {bounds}, n = {point.n:,}")]
    if alone and point.low is not None and point.high is not None:  # no neighbour, so no band
        parts.append(rule((x, _y(scale, point.low), x, _y(scale, point.high)), "whisker"))
    parts.append(tag("circle", cx=x, cy=_y(scale, point.mean or 0.0), r=3, class_="dot"))
    return tag("g", *parts)


def _counts(points: Sequence[DayPoint], most: int, first: date, count: int) -> Html:
    bars: list[Html] = []
    for point in points:
        tall = max(_STRIP * point.n / most, 1.0)
        x = percent_position(((point.day - first).days + 0.1) / count)
        title, width = tag("title", f"{point.day}: n = {point.n:,}"), percent_position(0.8 / count)
        bar = tag("rect", title, x=x, y=_BASE - tall, width=width, height=tall, class_="count")
        bars.append(bar)
    return join(
        *bars, draw_label("-6", _BASE - _STRIP + 9, f"n {most:,}", "end"), rule(("0", _BASE, "100%", _BASE), "axis")
    )


def _dates(first: date, count: int) -> Html:
    step = max(1, -(-count // 5))
    out = []
    for index in range(0, count, step):
        day, x = first + timedelta(days=index), percent_position((index + 0.5) / count)
        out += [rule((x, _BASE, x, _BASE + 4), "axis"), draw_label(x, _BASE + 17, f"{day.day} {day:%b}")]
    return join(*out)
