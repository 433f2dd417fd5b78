"""Alerts in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from shared.core.state.alert_records import NO_DATA, Alert, AlertBook, Hidden, SeriesStatus
from shared.report.text.formatting import align_columns, format_duration, format_number, line

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


def describe_hidden(each: Alert, why: Hidden) -> str:
    """An alert that is not told, and why."""
    return f"{describe_alert(each)}: {hidden_words(why)}"


def hidden_words(why: Hidden) -> str:
    """Why an alert is not told: `muted until 2026-12-01 08:00 UTC by ada: looking`."""
    if why.kind == "inhibited":
        return f"inhibited by the alert of {line(why.by, 40)}"
    by = f" by {line(why.by, 40)}" if why.by else ""
    return f"{why.kind} until {_moment(why.until)}{by}: {line(why.reason, 120) or 'no reason given'}"


class AlertsView(NamedTuple):
    """How the alerts of a monitor stand: what is stored, each rule, which alerts are hidden, the maintenance of now."""

    book: AlertBook
    statuses: Sequence[SeriesStatus]
    hidden: Mapping[str, Hidden]
    maintenance: Hidden | None
    now: datetime


def alerts_text(view: AlertsView) -> str:
    """All that is watched, the open alerts, what hides some, and the alerts that have ended."""
    book, now = view.book, view.now
    lines = [_open_line(each, view) for each in book.alerts if not each.is_over] or ["No alert is open."]
    rows = [_status_row(each, book, now) for each in view.statuses]
    if rows:
        lines += ["", *align_columns(("metric", "state", "of the threshold", "for", ""), rows, left=2)]
    lines += [] if view.maintenance is None else ["", hidden_words(view.maintenance)]
    for metric in book.mutes or {}:
        mute = book.muted(metric, now)
        if mute is not None:
            words = hidden_words(Hidden("muted", mute.owner, mute.until, mute.reason))
            lines += ["", f"{line(metric, 40)} is {words}{_hides(metric, view)}"]
    over = [each for each in book.alerts if each.is_over][-_ENDED:]
    ended = [f"  {describe_alert(each)}, ended {_moment(each.closed_at)}{_who(each)}" for each in over]
    lines += ["", "ended:", *ended] if ended else []
    return "\n".join(lines) + "\n"


def _open_line(each: Alert, view: AlertsView) -> str:
    why = view.hidden.get(each.id)
    if why is not None:
        return f"- {describe_hidden(each, why)}{_who(each)}"
    return f"{'o' if each.owner else '!'} {describe_alert(each)}{_who(each)}"


def _hides(metric: str, view: AlertsView) -> str:
    ids = [each.id for each in view.book.alerts if each.metric == metric and not each.is_over]
    return f" (hides {', '.join(ids)})" if ids else " (hides nothing now)"


def _status_row(each: SeriesStatus, book: AlertBook, now: datetime) -> tuple[str, ...]:
    """A rule's row; `for` is the time since its state changed, where that is known."""
    moments = [book.silent_since(each.metric)] if each.state == "no data" else []
    if each.state not in ("no data", "not enough data"):
        of_it = [alert for alert in book.alerts if alert.metric == each.metric]
        moments = [moment for alert in of_it for moment in (alert.opened_at, alert.closed_at) if moment]
    since = max(map(datetime.fromisoformat, moments), default=None)
    lasted = "-" if since is None else format_duration((now - since).total_seconds())
    return line(each.metric, 40), each.state, _share(each), lasted, line(each.detail, 120)


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
