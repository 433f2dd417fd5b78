"""A comparison of two runs in words and tables."""

from __future__ import annotations

from collections.abc import Callable

from shared.core.results import Estimate, RunReport
from shared.report.comparison.compare_runs import SIGNIFICANT, Comparison, LabelPair, MetricVersion, UnpairedMetric
from shared.report.text.formatting import align_columns, format_interval, format_number, format_time, line, wrap_text
from shared.report.text.result_words import STATUS, count_words
from shared.scoring.statistics.agreement import Interval

_HOW = (
    "A run scores what earlier runs have not, so two runs of one monitor share no item. To compare on the same items, "
    "run twice with --no-dedup and the same sample (a fixed seed, or hash_rate), or let "
    "`scored_store: {policy: metric}` score items again when a metric changes."
)
Name = Callable[[str], str]
"""An item's id as it may be shown."""


def comparison_text(found: Comparison, name: Name = str) -> str:
    """The comparison for a terminal: what was paired, each metric, each pass rate, and what moved most."""
    lines = [f"A  {_run(found.before)}", f"B  {_run(found.after)}", *_notes(found)]
    lines += _paired_lines(found, name) if found.paired else _unpaired_lines(found)
    return "\n".join(lines).replace("\u00a0", " ") + "\n"


def _run(run: RunReport) -> str:
    words = f"{line(run.run_id, 60)}  {format_time(run.started_at)}  {line(run.monitor, 60)}"
    return f"{words}, {STATUS[run.status][1].lower()}, {count_words(run.counts.scored, 'item')} scored"


def _notes(found: Comparison) -> list[str]:
    before, after = found.before, found.after
    notes = []
    if before.run_id == after.run_id:
        notes.append("A and B are one run.")
    if before.monitor != after.monitor:
        notes.append("A and B are runs of different monitors.")
    for name, run in (("A", before), ("B", after)):
        if run.status == "running":
            notes.append(f"{name} is not finished.")
    for pair in found.labels:
        one, other = ({(each.metric.digest, each.threshold) for each in side} for side in pair.makers)
        if one != other:
            who = " -> ".join(" and ".join(map(_maker, side)) for side in pair.makers)
            notes.append(f"{line(pair.label, 40)} was made differently: {who}")
    if found.not_numbers:
        notes.append(f"{count_words(found.not_numbers, 'pair')} of scores skipped: not a number.")
    return [each for note in notes for each in wrap_text(note, "! ")]


def _maker(each: MetricVersion) -> str:
    limit = "" if each.threshold is None else f", threshold {format_number(each.threshold)}"
    return f"{line(each.metric.name, 60)} v{each.metric.version} {each.metric.digest[:8]}{limit}"


def _paired_lines(found: Comparison, name: Name) -> list[str]:
    both, others = count_words(found.paired, "item"), f"{found.only_before:,} only by A, {found.only_after:,} only by B"
    weights = " Their inclusion probabilities are unequal." if found.unequal else ""
    lines = wrap_text(
        f"{both} scored by both ({others}). Each counts once: the figures are of these items, "
        f"not of the traffic.{weights}"
    )
    head = ("metric", "n", "A", "B", "B - A", "95 %", "p", "adjusted", "better", "worse", "same")
    lines += ["", *align_columns(head, [row for pair in found.labels if (row := _values(pair))])]
    rates = [row for pair in found.labels if (row := _passes(pair))]
    if rates:
        judged = ("pass rate", "n", "A", "B", "points", "95 %", "p", "adjusted", "to pass", "to fail")
        lines += ["", *align_columns(judged, rates)]
    gaps = [each for each in found.labels if each.only_before or each.only_after]
    lines += [""] if gaps else []
    for pair in gaps:
        words = f"{pair.only_before:,} have a score by A only, {pair.only_after:,} by B only"
        lines.append(f"{line(pair.label, 40)}: of these items {words}")
    lines += _largest_change_lines(found, name)
    tests = sum(each is not None for pair in found.labels for each in pair.adjusted)
    return [*lines, "", *wrap_text(_significance_note(tests))]


def _significance_note(tests: int) -> str:
    return (
        "p: the probability of a difference this large if nothing changed (values: sign-flip test; pass rates: exact "
        f"McNemar). adjusted: the same by Holm for {count_words(tests, 'test')}; below {SIGNIFICANT:g} is a finding."
    )


def _values(pair: LabelPair) -> tuple[str, ...]:
    at = pair.values
    if at is None:
        return ()
    low, high = at.bounds or (None, None)
    change, bounds = format_interval(at.difference, low, high)
    tested = (_p(at.p), _p(pair.adjusted[0]))
    if pair.verdicts and pair.passes is not None:
        tested = (_p(pair.passes.p), _p(pair.adjusted[1]))  # one test for both
    counts = (f"{n:,}" for n in (pair.better, pair.worse, at.same))
    means = (format_number(at.before), format_number(at.after))
    return (line(pair.label, 40), f"{at.n:,}", *means, _with_sign(change), bounds, *tested, *counts)


def _passes(pair: LabelPair) -> tuple[str, ...]:
    at = pair.passes
    if at is None:
        return ()
    moved, turned = at.change.moved, (f"{at.change.to_pass:,}", f"{at.change.to_fail:,}")
    value, low, high = (f"{100 * each + 0.0:+.1f}" for each in moved)
    rates = (f"{100 * at.before:.1f} %", f"{100 * at.after:.1f} %")
    label, p = line(pair.label, 40), (_p(at.p), _p(pair.adjusted[1]))
    return (label, f"{at.change.n:,}", *rates, value, f"[{low}, {high}]", *p, *turned)


def _with_sign(text: str) -> str:
    return text if text.startswith("-") or text == "0" else f"+{text}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "1" if value >= 0.9995 else f"{value:.3f}" if value >= 0.0005 else f"{value:.0e}"


def _largest_change_lines(found: Comparison, name: Name) -> list[str]:
    lines = []
    for pair in found.labels:
        moves = () if pair.values is None else pair.values.most
        words = [
            f"{line(name(each.item_id), 60)} {format_number(each.before)} -> {format_number(each.after)}"
            for each in moves
        ]
        if words:
            lines += wrap_text("; ".join(words), f"  {line(pair.label, 40)}: ")
    return ["", "largest changes", *lines] if lines else []


def _unpaired_lines(found: Comparison) -> list[str]:
    lines = wrap_text(f"No item was scored by both ({found.only_before:,} by A, {found.only_after:,} by B). {_HOW}")
    lines += ["", *wrap_text("The runs' own estimates, each of its own items and weighted by inclusion probability:")]
    head = ("metric", "n A", "n B", "A", "B", "B - A", "95 %")
    rows = [row for each in found.apart for row in _estimates(each)]
    return [*lines, "", *(align_columns(head, rows) if rows else ["no metric is in both runs"])]


def _estimates(each: UnpairedMetric) -> list[tuple[str, ...]]:
    label, counts = line(each.label, 40), (f"{each.before.n:,}", f"{each.after.n:,}")
    rows: list[tuple[str, ...]] = [(label, *counts, _mean(each.before), _mean(each.after), *_change(each.mean, 1.0))]
    if each.pass_rate is not None:
        rates = (_rate(each.before), _rate(each.after))
        rows.append((f"{label}, pass rate", *counts, *rates, *_change(each.pass_rate, 100.0)))
    return rows


def _change(found: Interval | None, scale: float) -> tuple[str, str]:
    if found is None:
        return "-", ""
    change, bounds = format_interval(found.value, found.low, found.high, scale)
    return _with_sign(change), bounds


def _mean(each: Estimate) -> str:
    if each.inspection or each.mean is None:
        return "no estimate"
    return " ".join(format_interval(each.mean, each.mean_low, each.mean_high)).strip()


def _rate(each: Estimate) -> str:
    value, bounds = format_interval(each.pass_rate, each.pass_low, each.pass_high, 100)
    return f"{value} % {bounds}".strip()
