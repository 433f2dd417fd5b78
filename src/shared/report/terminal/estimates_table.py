"""A run's estimates for a terminal: a table, or two lines a metric where the page is narrow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shared.core.results import Estimate
from shared.report.text.change_words import format_difference
from shared.report.text.formatting import format_interval, format_number, line
from shared.report.text.result_words import KIND_WORDS, NO_ESTIMATE
from shared.scoring.gates import GateResult, check_targets
from shared.scoring.statistics.changes import MetricChange

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text as Styled

Changes = Mapping[str, MetricChange]
Targets = Mapping[tuple[str, str], bool]
"""Whether a value (`mean`, `pass_rate`) of a metric passed its gates."""

_EXTRAS = {"failed": "failed", "not_applicable": "n/a"}
_NARROW = 72


class _Marks(NamedTuple):
    changes: Changes
    targets: Targets

    def style(self, label: str, value: str) -> str:
        """The colour of a value that has a gate."""
        passed = self.targets.get((label, value))
        return "" if passed is None else "green" if passed else "red"


def list_estimates(
    estimates: Sequence[Estimate], changes: Changes, gates: Sequence[GateResult], width: int
) -> Sequence[Table | Styled]:
    """The estimates within `width` characters, with what changed beside them; green and red against their gates."""
    if width < _NARROW:
        return _estimate_lines(estimates, changes)
    return _table(estimates, changes, check_targets(gates), width)


def _text(words: str, style: str = "") -> Styled:
    from rich.text import Text as Styled

    return Styled(words, style=style)


def change_style(each: MetricChange) -> str:
    """How a change is coloured; not at all where the data show none."""
    return "" if not each.changed else "bold green" if each.better else "bold red"


def _table(estimates: Sequence[Estimate], changes: Changes, targets: Targets, width: int) -> list[Table | Styled]:
    """One row a metric. Where the page is narrow, failures move below, then intervals below their values."""
    extras = tuple(name for name in _EXTRAS if any(getattr(each, name) for each in estimates))
    marks = _Marks(changes, targets)
    table = _build_table(estimates, marks, " ", extras)
    if _width(table) <= width:
        return [table]
    table = _build_table(estimates, marks, " ", ())
    if _width(table) > width:
        table = _build_table(estimates, marks, "\n", ())
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


def _build_table(estimates: Sequence[Estimate], marks: _Marks, gap: str, extras: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", overflow="fold")
    changes = marks.changes
    change = ("change",) if changes else ()
    for name in ("n", "mean", "pass rate", *change, "passes", *(_EXTRAS[each] for each in extras)):
        table.add_column(name, justify="right", no_wrap=True)
    for each in estimates:
        threshold = "-" if each.threshold is None else _threshold_words(each)
        counts = [
            _text(f"{getattr(each, name):,}", "red" if name == "failed" and each.failed else "") for name in extras
        ]
        moved = [_change_cell(changes.get(each.label), gap)] if changes else []
        values = zip(_numbers(each, gap), ("mean", "pass_rate"), strict=True)
        numbers = [_text(words, marks.style(each.label, value)) for words, value in values]
        table.add_row(_text(_name(each)), _text(f"{each.n:,}"), *numbers, *moved, _text(threshold), *counts)
    return table


def _change_cell(change: MetricChange | None, gap: str) -> Styled:
    if change is None:
        return _text("-")
    return _text(format_difference(change).replace(" [", f"{gap}[", 1), change_style(change))


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


def _estimate_lines(estimates: Sequence[Estimate], changes: Changes) -> list[Styled]:
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
            if each.label in changes:
                parts.append(_text("  change ").append_text(_change_cell(changes[each.label], " ")))
        if each.failed or each.not_applicable:
            parts.append(_text(f"  {_missing_words(each)}"))
    return parts
