"""A run as Markdown, for the summary of a job in GitHub Actions."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from shared.core.counts import by_level
from shared.core.results import Estimate, RunReport
from shared.report.terminal.run_summary import Beside
from shared.report.text.alert_words import describe_alert, describe_hidden
from shared.report.text.change_words import change_sentence, format_difference
from shared.report.text.formatting import format_interval, line
from shared.report.text.result_words import NO_ESTIMATE, STATUS, result_sentence
from shared.scoring.statistics.changes import MetricChange

_MARKS = re.compile(r"([\\`*_\[\]#|~])")
_NOTES = 10


def job_summary(report: RunReport, beside: Beside) -> str:
    """The run in Markdown: how it ended, what changed, failed gates, metrics, and its first notes."""
    lines = [f"### {_escape(report.monitor)}: {STATUS[report.status][1]}", ""]
    if beside.changes is not None:
        lines += [f"**{_escape(change_sentence(beside.changes))}**", ""]
    lines += [f"- ❌ alert: {_escape(describe_alert(each))}" for each in beside.alerts]
    lines += [f"- ❌ {_escape(each)}" for each in beside.failed_gates]
    lines += [f"- {_escape(describe_hidden(*each))}" for each in beside.hidden]
    lines += ["", _escape(result_sentence(report)), ""]
    if report.estimates:
        changes = {each.label: each for each in beside.changes or ()}
        lines += ["| metric | n | mean | pass rate | change |", "|---|--:|--:|--:|--:|"]
        lines += [_row(each, changes) for each in report.estimates]
        lines.append("")
    lines += [f"- {sign} {_escape(note)}" for sign, note in by_level(report.notes)[:_NOTES]]
    return "\n".join(lines).rstrip() + "\n\n"


def _row(each: Estimate, changes: Mapping[str, MetricChange]) -> str:
    mean, rate = NO_ESTIMATE, "-"
    if not each.inspection:
        mean = " ".join(format_interval(each.mean, each.mean_low, each.mean_high))
        rate, bounds = format_interval(each.pass_rate, each.pass_low, each.pass_high, 100)
        rate = f"{rate} % {bounds}" if each.pass_rate is not None else "-"
    change = changes.get(each.label)
    moved = "-" if change is None else format_difference(change)
    moved = f"**{moved}**" if change is not None and change.changed else moved
    return f"| {_escape(each.label)} | {each.n:,} | {mean} | {rate} | {moved} |"


def _escape(text: str) -> str:
    """One line of text that is shown as it is: no markup, no HTML, no mention."""
    return _MARKS.sub(r"\\\1", html.escape(line(text, 300), quote=False)).replace("@", "@\u200b")
