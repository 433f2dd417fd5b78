"""A run's summary for a terminal or a log. What it prints fits the width, and needs no colour to be understood."""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from shared.core.digests import to_plain
from shared.core.results import Estimate, RunReport
from shared.report.judges.judge_text import judge_line
from shared.report.records.judge_records import Judges
from shared.report.text.formatting import (
    format_dollars,
    format_duration,
    format_interval,
    format_number,
    format_time,
    line,
)
from shared.report.text.result_words import (
    KIND_WORDS,
    NO_ESTIMATE,
    STATUS,
    cost_lines,
    count_words,
    counts_of,
    published_lines,
    result_sentence,
)

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text as Styled

_SHOWN = 5
_STYLES = {"good": "bold green", "bad": "bold red", "warn": "bold yellow", "plain": "bold"}
_EXTRAS = {"failed": "failed", "not_applicable": "n/a"}
_NARROW = 72
_INTERVAL = "[low, high]: 95 % confidence interval"
_ASCII = str.maketrans(
    {"\u00a0": " ", "–": "-", "−": "-", "≥": ">=", "…": "...", "✓": "+", "✗": "x", "○": "o", "•": "*"}
)


def summary(
    report: RunReport,
    console_width: int = 80,
    color: bool = False,
    places: Mapping[str, str] | None = None,
    judges: Judges | None = None,
) -> str:
    """The run in a screenful: verdict, notes, metrics, counts, failures, and in which `places` more is found.

    `places` maps what is there ("report", "state") to where it is; `judges` adds a line for each metric
    that has human labels. Without `color` the text holds no escape codes.
    """
    from rich.console import Console  # late: importing the house must stay light

    console = Console(
        file=io.StringIO(), width=max(console_width, 20), force_terminal=color, no_color=not color, markup=False,
        color_system="standard" if color else None, highlight=False, emoji=False, legacy_windows=False, _environ={},
    )  # fmt: skip
    with console.capture() as captured:
        for part in _parts(report, console.width, places or {}, judges or Judges()):
            console.print(part, soft_wrap=False)
    # Tables are padded to their width; in a log that is only noise.
    return "\n".join(each.rstrip() for each in captured.get().replace("\u00a0", " ").splitlines()) + "\n"


def print_summary(
    report: RunReport,
    stream: TextIO,
    places: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    judges: Judges | None = None,
) -> None:
    """Write the summary: coloured on a terminal unless NO_COLOR is set, in letters that the stream can write."""
    environ = os.environ if environ is None else environ
    terminal = stream.isatty() and environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    text = summary(report, width, terminal and not environ.get("NO_COLOR"), places, judges)
    stream.write(writable(text, stream))


def writable(text: str, stream: TextIO) -> str:
    """The text in letters that the stream can write."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def report_json(report: RunReport) -> dict[str, Any]:
    """The whole report as JSON values, with `seconds` and `failure_share` beside; what is not a number is null."""
    values: dict[str, Any] = {name: _finite(each) for name, each in to_plain(report).items()}
    config = values.pop("config")
    values |= {"config_digest": config.pop("digest"), "config_text": config.pop("text"), **config}
    values |= values.pop("spending")
    values["seconds"] = report.seconds
    values["counts"]["failure_share"] = report.counts.failure_share
    return values


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parts(report: RunReport, width: int, places: Mapping[str, str], judges: Judges) -> list[Table | Styled]:
    parts: list[Table | Styled] = _head(report)
    if report.status == "nothing_new" and not report.notes and not report.broken:
        return [*parts, *_places(places)]
    parts += [_text(f"! {line(note, 600)}", "yellow") for note in report.notes]
    if report.estimates:
        listed = _estimate_lines(report.estimates) if width < _NARROW else _table(report.estimates, width)
        has_interval = any(each.mean_low is not None for each in report.estimates)
        parts += [_text(""), *listed, *([_text(_INTERVAL, "dim")] if has_interval else []), _text("")]
    parts += _judges(judges)
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


def _table(estimates: Sequence[Estimate], width: int) -> list[Table | Styled]:
    """One row a metric. Where the page is narrow, failures move below, and then intervals below their values."""
    extras = tuple(name for name in _EXTRAS if any(getattr(each, name) for each in estimates))
    table = _build_table(estimates, " ", extras)
    if _width(table) <= width:
        return [table]
    table = _build_table(estimates, " ", ())
    if _width(table) > width:
        table = _build_table(estimates, "\n", ())
    below = [
        f"{line(each.label, 40)}: {_missing_words(each)}" for each in estimates if each.failed or each.not_applicable
    ]
    return [table, *map(_text, below)]


def _missing_words(each: Estimate) -> str:
    found = ((each.failed, "failed"), (each.not_applicable, "not applicable"))
    return ", ".join(f"{n:,} {words}" for n, words in found if n)


def _width(table: Table) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    endless = Console(file=io.StringIO(), width=10_000, markup=False, emoji=False, highlight=False, _environ={})
    return Measurement.get(endless, endless.options, table).maximum


def _build_table(estimates: Sequence[Estimate], gap: str, extras: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", overflow="fold")
    for name in ("n", "mean", "pass rate", "passes", *(_EXTRAS[each] for each in extras)):
        table.add_column(name, justify="right", no_wrap=True)
    for each in estimates:
        threshold = "-" if each.threshold is None else _threshold_words(each)
        counts = [
            _text(f"{getattr(each, name):,}", "red" if name == "failed" and each.failed else "") for name in extras
        ]
        table.add_row(*map(_text, (_name(each), f"{each.n:,}", *_numbers(each, gap), threshold)), *counts)
    return table


def _threshold_words(each: Estimate) -> str:
    return f"{'<' if each.inverse else '≥'} {format_number(each.threshold)}"


def _name(each: Estimate) -> str:
    kind = KIND_WORDS[each.kind]
    return line(each.label, 40) + (f" ({kind})" if kind else "")


def _numbers(each: Estimate, gap: str) -> tuple[str, str]:
    """Mean and pass rate as words. An inspection queue has neither, and says so."""
    if each.inspection:
        return NO_ESTIMATE.replace(": ", ":" + gap), "-"
    mean, bounds = format_interval(each.mean, each.mean_low, each.mean_high)
    rate, limits = format_interval(each.pass_rate, each.pass_low, each.pass_high, 100)
    rate = rate if each.pass_rate is None else f"{rate} %"
    return (mean + gap + bounds).strip().replace("–", "-"), (rate + gap + limits).strip().replace("–", "-")


def _estimate_lines(estimates: Sequence[Estimate]) -> list[Styled]:
    """Two short lines a metric, for a page too narrow for a table."""
    parts = []
    for each in estimates:
        parts.append(_text(f"{line(_name(each), 40)}  n {each.n:,}", "bold"))
        mean, rate = _numbers(each, " ")
        judged = "" if each.threshold is None else f" (passes {_threshold_words(each)})"
        if each.inspection:
            parts.append(_text(f"  {each.n:,} shown, {NO_ESTIMATE}"))
        else:
            parts.append(_text(f"  mean {mean}"))
            parts += [_text(f"  pass {rate}{judged}")] if each.pass_rate is not None else []
        if each.failed or each.not_applicable:
            parts.append(_text(f"  {_missing_words(each)}"))
    return parts


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
    parts = [_text(f"! {line(note, 600)}", "yellow") for note in judges.notes]
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
