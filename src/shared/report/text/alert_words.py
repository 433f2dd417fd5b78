"""Alerts in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.core.state.alert_records import NO_DATA, Alert, AlertBook, SeriesStatus
from shared.report.text.formatting import align_columns, format_number, line

_ENDED = 10  # alerts that are listed once they are over


def describe_alert(each: Alert) -> str:
    """One alert: `Helpful falls: 46.7 % in the last hours, expected 96.8 % (since 2026-11-30 12:00 UTC, ...)`."""
    if each.direction == NO_DATA:
        return f"{line(each.metric, 40)}: no data since {_moment(each.since)} (alert {each.id})"
    found, expected = _value(each, each.found), _value(each, each.expected)
    evidence = f"evidence {each.evidence:,.0f} : 1"
    return (
        f"{line(each.metric, 40)} {each.direction}: {found} in the last hours, expected {expected} "
        f"(since {_moment(each.since)}, {evidence}, alert {each.id})"
    )


def alerts_text(book: AlertBook, statuses: Sequence[SeriesStatus], now: datetime) -> str:
    """All that is watched, the open alerts, the mutes, and the alerts that have ended."""
    running = [each for each in book.alerts if not each.is_over]
    lines = [f"{'o' if each.owner else '!'} {describe_alert(each)}{_who(each)}" for each in running]
    lines = lines or ["No alert is open."]
    rows = [(line(each.metric, 40), each.state, _share(each), line(each.detail, 120)) for each in statuses]
    if rows:
        lines += ["", *align_columns(("metric", "state", "of the threshold", ""), rows, left=2)]
    for metric in book.mutes or {}:
        mute = book.muted(metric, now)
        if mute is not None:
            who = f"by {line(mute.owner, 40)}: {line(mute.reason)}"
            lines += ["", f"{line(metric, 40)} is muted until {_moment(mute.until)} {who}"]
    over = [each for each in book.alerts if each.is_over][-_ENDED:]
    ended = [f"  {describe_alert(each)}, ended {_moment(each.closed_at)}{_who(each)}" for each in over]
    lines += ["", "ended:", *ended] if ended else []
    return "\n".join(lines) + "\n"


def describe_status(each: SeriesStatus) -> str:
    """One series that is worth a look, or that is not watched yet."""
    if each.state == "not enough data":
        return f"{line(each.metric, 40)} is not watched yet: {each.detail}"
    return f"{line(each.metric, 40)} is worth a look: its evidence is {100 * each.share:.0f} % of what an alert needs"


def _who(each: Alert) -> str:
    if not each.owner and not each.reason:
        return ""
    return f" ({each.state} by {line(each.owner, 40) or '?'}: {line(each.reason, 120) or 'no reason given'})"


def _share(each: SeriesStatus) -> str:
    return "-" if each.state == "not enough data" else f"{100 * each.share:.0f} %"


def _value(each: Alert, value: float) -> str:
    return f"{100 * value:.1f} %" if each.rate else format_number(value)


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"
