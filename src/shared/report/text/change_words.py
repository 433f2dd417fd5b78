"""What changed, in words: one sentence for all metrics, and a few characters for each."""

from __future__ import annotations

from collections.abc import Sequence

from shared.report.text.formatting import format_interval, format_number, line
from shared.report.text.result_words import count_words
from shared.scoring.statistics.agreement import Interval
from shared.scoring.statistics.changes import BASELINE_DAYS, MetricChange, Quantity

NOTHING_BEFORE = "Nothing to compare with yet: no metric has enough scores from an earlier time."
_TOLD = 3
_AGAINST = f"the last 24 hours against the {BASELINE_DAYS} days before"


def change_sentence(changes: Sequence[MetricChange]) -> str:
    """What changed against the days before, the worst first; or that the data show no change."""
    found = sorted((each for each in changes if each.changed), key=lambda each: (each.better, each.p))
    if found:
        more = (f"{len(found) - _TOLD} more",) if len(found) > _TOLD else ()
        return "; ".join((*map(describe_change, found[:_TOLD]), *more)) + "."
    if not changes:
        return NOTHING_BEFORE
    return f"No change that the data can show ({count_words(len(changes), 'metric')}, {_AGAINST})."


def describe_change(each: MetricChange) -> str:
    """One change: `Helpful fell from 100 % to 55 % (-45 [-54, -34]) since 14:00 UTC, with prompt_version 2`."""
    name = line(each.label, 40) + (" (mean)" if each.quantity == "mean" else "")
    before, after = (_format_value(each, side.value) for side in (each.before, each.after))
    verb = "rose" if each.difference.value > 0 else "fell"
    causes = "".join(f", with {line(cause, 60)}" for cause in each.causes)
    since = f"{each.since:%Y-%m-%d %H:%M} UTC"
    return f"{name} {verb} from {before} to {after} ({format_difference(each)}) since {since}{causes}"


def format_difference(each: MetricChange) -> str:
    """The difference with its interval; of rates in percentage points."""
    return format_shift(each.difference, each.quantity)


def format_shift(difference: Interval, quantity: Quantity) -> str:
    """The difference of two values of a quantity, with its interval."""
    scale = 100.0 if quantity == "pass_rate" else 1.0
    value, low, high = (scale * part for part in difference)
    digits = _digits((value, low, high), scale)
    return f"{value:+,.{digits}f} [{low:+,.{digits}f}, {high:+,.{digits}f}]"


def _digits(values: Sequence[float], scale: float) -> int:
    if scale == 100.0:
        return 0 if max(map(abs, values)) >= 10 else 1
    _, bounds = format_interval(*values)
    return len(bounds.partition(",")[0].partition(".")[2])


def _format_value(each: MetricChange, value: float) -> str:
    if each.quantity == "pass_rate":
        return f"{100 * value:.0f} %" if 0.01 <= value <= 0.99 or value in (0.0, 1.0) else f"{100 * value:.1f} %"
    width = abs(each.difference.value)
    return format_interval(value, value - width / 2, value + width / 2)[0] if width else format_number(value)
