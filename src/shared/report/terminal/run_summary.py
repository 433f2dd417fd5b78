"""A run's summary for a terminal or a log. What it prints fits the width, and needs no colour to be understood."""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from shared.core.counts import by_level
from shared.core.digests import to_plain
from shared.core.results import RunReport
from shared.core.state.alert_records import Alert, Hidden, SeriesStatus
from shared.report.judges.judge_text import judge_line
from shared.report.records.judge_records import Judges
from shared.report.terminal.estimates_table import change_style, list_estimates
from shared.report.text.alert_words import describe_alert, describe_hidden, describe_status
from shared.report.text.change_words import change_sentence
from shared.report.text.formatting import (
    format_dollars,
    format_duration,
    format_time,
    line,
)
from shared.report.text.result_words import (
    STATUS,
    cost_lines,
    count_words,
    counts_of,
    published_lines,
    result_sentence,
)
from shared.scoring.gates import GateResult
from shared.scoring.statistics.changes import MetricChange
from shared.scoring.statistics.segments import SegmentEstimate

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text as Styled

_SHOWN = 5
_NOTES = {"!": "yellow", "note:": "cyan"}
_STYLES = {"good": "bold green", "bad": "bold red", "warn": "bold yellow", "plain": "bold"}
_INTERVAL = "[low, high]: 95 % confidence interval"
_ASCII = str.maketrans(
    {"\u00a0": " ", "–": "-", "−": "-", "≥": ">=", "…": "...", "✓": "+", "✗": "x", "○": "o", "•": "*"}
)


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known besides a run's own report: how its metrics changed (None: not compared), whether they passed their
    gates, which alerts are open and are told, which are hidden, which series are worth a look, how far its judges agree
    with people, and its metrics by segment.
    """

    changes: tuple[MetricChange, ...] | None = None
    alerts: tuple[Alert, ...] = ()
    hidden: tuple[tuple[Alert, Hidden], ...] = ()
    looks: tuple[SeriesStatus, ...] = ()
    gates: tuple[GateResult, ...] = ()
    judges: Judges = field(default_factory=Judges)
    segments: tuple[SegmentEstimate, ...] = ()

    @property
    def failed_gates(self) -> tuple[str, ...]:
        """A sentence for each gate that failed."""
        return tuple(each.sentence for each in self.gates if not each.passed)


def summary(
    report: RunReport,
    console_width: int = 80,
    color: bool = False,
    places: Mapping[str, str] | None = None,
    beside: Beside | None = None,
) -> str:
    """The run in a screenful: verdict, what changed, notes, metrics, counts, failures, and in which `places` more is
    found.

    `places` maps what is there ("report", "state") to where it is; `beside` is what is known besides the run's own
    report. Without `color` the text holds no escape codes.
    """
    from rich.console import Console  # late: importing the house must stay light

    console = Console(
        file=io.StringIO(), width=max(console_width, 20), force_terminal=color, no_color=not color, markup=False,
        color_system="standard" if color else None, highlight=False, emoji=False, legacy_windows=False, _environ={},
    )  # fmt: skip
    with console.capture() as captured:
        for part in _parts(report, console.width, places or {}, beside or Beside()):
            console.print(part, soft_wrap=False)
    # Tables are padded to their width; in a log that is only noise.
    return "\n".join(each.rstrip() for each in captured.get().replace("\u00a0", " ").splitlines()) + "\n"


def print_summary(
    report: RunReport,
    stream: TextIO,
    places: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    beside: Beside | None = None,
) -> None:
    """Write the summary: coloured on a terminal unless NO_COLOR is set, in letters that the stream can write."""
    environ = os.environ if environ is None else environ
    terminal = stream.isatty() and environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    text = summary(report, width, terminal and not environ.get("NO_COLOR"), places, beside)
    stream.write(writable(text, stream))


def writable(text: str, stream: TextIO) -> str:
    """The text in letters that the stream can write."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def report_json(report: RunReport, beside: Beside | None = None) -> dict[str, Any]:
    """The whole report as JSON values, with `seconds`, `failure_share` and `warnings` beside, the gates, and what
    changed where it was compared; what is not a number is null.
    """
    values: dict[str, Any] = {name: _finite(each) for name, each in to_plain(report).items()}
    config = values.pop("config")
    values |= {"config_digest": config.pop("digest"), "config_text": config.pop("text"), **config}
    values |= values.pop("spending")
    values |= {"seconds": report.seconds, "warnings": list(report.warnings)}
    values["counts"]["failure_share"] = report.counts.failure_share
    if beside is None:
        return values
    values["gates"] = [each._asdict() for each in beside.gates]
    values["segments"] = [_segment_json(each) for each in beside.segments]
    values["alerts"] = [to_plain(each) for each in beside.alerts]
    values["hidden_alerts"] = [{**to_plain(each), "hidden": why._asdict()} for each, why in beside.hidden]
    if beside.changes is not None:
        values |= {
            "change": change_sentence(beside.changes),
            "changes": [_change_json(each) for each in beside.changes],
        }
    return values


def _change_json(each: MetricChange) -> object:
    intervals = {name: getattr(each, name)._asdict() for name in ("before", "after", "difference")}
    return _finite(to_plain(each) | intervals)


def _segment_json(each: SegmentEstimate) -> object:
    difference = None if each.difference is None else each.difference._asdict()
    return _finite(to_plain(each) | {"label": each.estimate.label, "difference": difference})


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parts(report: RunReport, width: int, places: Mapping[str, str], beside: Beside) -> list[Table | Styled]:
    parts: list[Table | Styled] = [*_head(report), *_change_lines(beside)]
    if report.status == "nothing_new" and not report.notes and not report.broken:
        return [*parts, *_places(places)]
    parts += [_text(f"{sign} {line(note, 600)}", _NOTES[sign]) for sign, note in by_level(report.notes)]
    if report.estimates:
        changes = {each.label: each for each in beside.changes or ()}
        listed = list_estimates(report.estimates, changes, beside.gates, width)
        has_interval = any(each.mean_low is not None for each in report.estimates)
        parts += [_text(""), *listed, *([_text(_INTERVAL, "dim")] if has_interval else []), _text("")]
    parts += _judges(beside.judges)
    if report.status not in ("nothing_new", "busy"):
        parts += _counts(report, width)
        parts += map(_text, cost_lines(report))
    parts += _delivery_lines(report)
    parts += _broken_lines(report)
    parts += [_text(f"x {line(each, 300)}", "red") for each in report.examples]
    parts += [
        _text(f"x {count_words(n, 'failure')}: {line(kind, 80)}", "red")
        for kind, n in _most_common(report.failure_kinds)
    ]
    return [*parts, *_places(places)]


def _text(words: str, style: str = "") -> Styled:
    from rich.text import Text as Styled

    return Styled(words, style=style)


def _head(report: RunReport) -> list[Table | Styled]:
    sign, words, kind = STATUS[report.status]
    took = f", {format_duration(report.seconds)}" if report.seconds is not None else ""
    cost = f", {format_dollars(report.spending.cost)}" if report.spending.cost else ""
    head = _text(f"{sign} {words}", _STYLES[kind])
    if report.status == "nothing_new":
        rest = f"{line(report.monitor, 80)}: {result_sentence(report).removeprefix('Nothing new: ')}"
        return [head.append(f"  {rest}", style="not bold default")]
    head.append(f"  {line(report.monitor, 80)}", style="default")
    return [head, _text(f"{format_time(report.started_at)}{took}{cost}", "dim"), _text(result_sentence(report))]


def _change_lines(beside: Beside) -> list[Styled]:
    """The sentence about what changed, and one about each open alert and each gate that failed."""
    failed = [_text(f"x alert: {describe_alert(each)}", "bold red") for each in beside.alerts]
    failed += [_text(f"- {describe_hidden(*each)}", "yellow") for each in beside.hidden]
    failed += [_text(f"? {describe_status(each)}") for each in beside.looks]
    failed += [_text(f"x {line(each, 300)}", "bold red") for each in beside.failed_gates]
    if beside.changes is None:
        return failed
    styles = {change_style(each) for each in beside.changes if each.changed}
    style = next((each for each in ("bold red", "bold green") if each in styles), "")
    return [_text(change_sentence(beside.changes), style), *failed]


def _counts(report: RunReport, width: int) -> list[Styled]:
    """The counts in as few lines as they need, none torn apart."""
    always = {"read", "candidates", "sampled", "scored"}
    lines = [""]
    for each in (f"{name} {n:,}" for name, n, _ in counts_of(report) if n or name in always):
        if lines[-1] and len(lines[-1]) + len(each) + 2 >= width:
            lines.append("")
        lines[-1] += f", {each}" if lines[-1] else each
    return [_text(each) for each in lines]


def _judges(judges: Judges) -> list[Styled]:
    """A line for each judge that is compared with human labels."""
    parts = [_text(f"! {line(note, 600)}", _NOTES["!"]) for note in judges.notes]
    lines = [_text(judge_line(view)) for view in judges.views]
    return [*parts, _text("judges against human labels", "bold"), *lines, _text("")] if lines else parts


def _delivery_lines(report: RunReport) -> list[Styled]:
    return [_text("published", "bold"), *map(_text, published_lines(report.published))] if report.published else []


def _broken_lines(report: RunReport) -> list[Styled]:
    if not report.broken:
        return []
    total = max(report.counts.broken, len(report.broken))
    parts = [_text(f"x {count_words(total, 'broken record')}:", "red")]
    parts += [_text(f"    {line(each, 300)}") for each in report.broken[:_SHOWN]]
    more = total - min(_SHOWN, len(report.broken))
    return [*parts, _text(f"    and {more:,} more")] if more else parts


def _most_common(kinds: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))[:10]


def _places(places: Mapping[str, str]) -> list[Styled]:
    wide = max(map(len, places), default=0)
    return [_text(f"{line(name, 20):<{wide}}  {line(place, 500)}") for name, place in places.items()]
