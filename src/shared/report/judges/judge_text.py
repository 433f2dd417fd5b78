"""Judges against human labels in words, for a terminal and for the summary of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from shared.report.records.judge_records import AnchorPoint, AnchorView, Correction, JudgeVersion, JudgeView, Method
from shared.report.text.formatting import format_interval, format_number, format_percent, format_time, line
from shared.report.text.result_words import count_words
from shared.scoring.statistics.agreement import Interval

_SHOWN = 10
_PASSES = 6


def judges_text(views: Sequence[JudgeView], width: int = 100) -> str:
    """Every judge in a paragraph of its own."""
    text = "\n\n".join("\n".join(_judge_lines(view, width)) for view in views)
    return text.replace("\u00a0", " ") + "\n"


def judge_line(view: JudgeView) -> str:
    """A judge in one line, for the summary of a run."""
    name = line(view.label, 40)
    if view.agreement is None:
        return f"{name}: no labels on judged items" if not view.anchors else f"{name}: {_anchors_short(view.anchors)}"
    found = view.agreement.kappa
    kappa = f"kappa {figure_words(found)}" if found else "no kappa: one verdict throughout"
    words, rate = f"{name}: {count_words(view.labelled, 'label')}, {kappa}", view.rate
    if rate.passes is None:
        return words
    corrected = f"by {method_words(rate.trusted)} {rate_words(rate.best)}" if rate.best else "no corrected rate"
    return f"{words}; passes {rate_words(rate.passes)} as judged, {corrected}"


def rate_words(found: Sequence[float | None] | None) -> str:
    """A rate with its interval in percent; `found` begins with value, low and high."""
    if found is None:
        return "–"
    value, limits = format_interval(found[0], found[1], found[2], 100)
    return f"{value}\u00a0%\u00a0{limits}".replace(", ", ",\u00a0")


def change_words(found: Interval) -> str:
    """A change of a rate in percentage points, with its interval."""
    value, low, high = (f"{100 * each + 0.0:+.1f}" for each in found)
    return f"{value} points [{low},\u00a0{high}]"


def figure_words(found: Interval | None) -> str:
    """A figure such as kappa with its interval, two decimals."""
    return "–" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def version_words(at: JudgeView | JudgeVersion | AnchorPoint) -> str:
    """Who made verdicts: class, version, digest and threshold."""
    if not at.maker:
        return "has judged no item yet"
    limit = "" if at.threshold is None else f", threshold {format_number(at.threshold)}"
    return f"{line(at.maker, 60)}, {at.digest}{limit}"


def method_words(method: Method | None) -> str:
    """The name of a method as it is shown; the stored names are those of `--json`."""
    return "human labels" if method == "people alone" else method or "none"


def correction_words(each: Correction) -> str:
    """A correction's rate, or why there is none."""
    return rate_words(each.found) if each.found is not None else f"none: {each.why}"


def need_words(view: JudgeView) -> str:
    """How many labels would narrow the interval."""
    parts, beyond = [], []
    now = next((each.found for each in view.rate.corrections if each.method == "PPI++"), None)
    for need in view.rate.needs:
        wish = f"±{100 * need.half_width:g}"
        if now is not None and now.high - now.low <= 2 * need.half_width:
            parts.append(f"{wish} points is reached")
        elif need.labels is None:
            beyond.append(wish)
        else:  # the plan is no promise: where it is fulfilled and the width is not there, a few more are
            more = f"{need.labels - view.labelled:,}" if need.labels > view.labelled else "a few"
            parts.append(f"{more} more labels on random items for {wish} points")
    if beyond:
        wishes = " and ".join(beyond)
        parts.append(f"{wishes} points cannot be reached with {view.judged:,} judged items, however many are labelled")
    return "; ".join(parts)


def people_words(view: JudgeView) -> str:
    """How far human annotators agree among themselves; empty where no item has two labels."""
    if not view.labels.several:
        return ""
    undecided = f", split on {view.labels.undecided:,}" if view.labels.undecided else ""
    kappa = f"kappa {figure_words(view.labels.people_kappa)}" if view.labels.people_kappa else "one verdict throughout"
    items = count_words(view.labels.several, "item")
    return f"human annotators among themselves: {kappa} on {items} that several labelled{undecided}"


def anchor_change_lines(found: AnchorView) -> Iterator[str]:
    """What moved between the last two passes, one sentence each."""
    if found.set_changed:
        yield "the anchor file was changed before the last pass: it begins a new history"
    if found.judge is not None:
        turned = f"{found.judge.to_pass} verdicts changed to pass, {found.judge.to_fail} to fail"
        yield f"the judge changed by {change_words(found.judge.moved)} on the same {found.judge.n:,} anchors ({turned})"
    if found.traffic is not None and found.application is not None:
        yield f"the traffic as judged changed by {change_words(found.traffic)}"
        yield f"so the application changed by about {change_words(found.application)}, the judge's change subtracted"
    if found.votes is not None:
        at = found.votes
        yield (
            f"{at.votes} votes on each anchor: they differ on {rate_words(at.split)} of {at.n:,} anchors, two votes "
            f"differ with probability {format_percent(at.flip)}, standard deviation of the score "
            f"{format_number(at.deviation)}"
        )


def point_words(at: AnchorPoint) -> str:
    """One pass over the anchors."""
    agreement = f", agrees with human labels on {rate_words(at.agreement)} of {at.labelled:,}" if at.agreement else ""
    failed = f", {count_words(at.failed, 'vote')} failed" if at.failed else ""
    who = f"{format_time(at.at)}  {version_words(at)} ({at.reason})"
    return f"{who}: passes {rate_words(at.passes)} of {at.n:,}{agreement}{failed}"


def _anchors_short(found: AnchorView) -> str:
    change = next(anchor_change_lines(found), "nothing to compare yet")
    return f"anchors judged {count_words(len(found.points), 'time')}; {change}"


def _judge_lines(view: JudgeView, width: int) -> Iterator[str]:
    def wrapped(words: str, indent: str = "  ") -> list[str]:
        return textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=indent + "  ")

    yield f"{line(view.label, 60)}  ({version_words(view)})"
    yield f"  {count_words(view.judged, 'item')} judged, {view.labelled:,} of them with human labels"
    if not view.current:
        yield "  the version that is configured now has judged no item yet; this is the newest that has"
    for each in view.others:
        yield f"  an earlier version, not mixed in: {version_words(each)}, {count_words(each.n, 'item')}"
    if view.labels.unscored:
        unscored = count_words(view.labels.unscored, "label")
        yield from wrapped(f"{unscored} on items that this version has not judged: skipped")
    if view.agreement is not None:
        yield from _agreement_lines(view)
    if people_words(view):
        yield from wrapped(people_words(view))
    yield from _rate_lines(view)
    rate = view.rate
    yield from wrapped(
        f"use {method_words(rate.trusted)}: {rate.why}" if rate.trusted else f"no rate to use: {rate.why}"
    )
    if rate.needs:
        yield from wrapped(f"to narrow it: {need_words(view)}")
    yield from _disagreement_lines(view, width)
    yield from _history(view, width)


def _agreement_lines(view: JudgeView) -> Iterator[str]:
    at = view.agreement
    if at is None:
        return
    cells = at.confusion
    chance = " (0: chance, 1: never differ)"
    kappa = figure_words(at.kappa) + chance if at.kappa else "none, both gave one verdict throughout"
    yield f"  agreement   {rate_words(at.agreement)}; kappa {kappa}"
    yield f"  {'':22}{'humans pass':>12}{'humans fail':>12}"
    yield f"  {'judge passes':>22}{cells.both_pass:>12,}{cells.judge_only:>12,}"
    yield f"  {'judge fails':>22}{cells.people_only:>12,}{cells.both_fail:>12,}"
    if at.sensitivity is not None:
        yield f"  sensitivity {rate_words(at.sensitivity)} (share that the judge passes of what humans pass)"
    if at.specificity is not None:
        yield f"  specificity {rate_words(at.specificity)} (share that it fails of what humans fail)"


def _rate_lines(view: JudgeView) -> Iterator[str]:
    if view.rate.passes is None:
        return
    yield f"  pass rate     {'as judged':13} {rate_words(view.rate.passes)}"
    for at in view.rate.corrections:
        mark = "*" if at.method == view.rate.trusted else " "
        yield f"              {mark} {method_words(at.method):13} {correction_words(at)}"


def _disagreement_lines(view: JudgeView, width: int) -> Iterator[str]:
    if not view.disagreements:
        return
    yield "  where they differ"
    for each in view.disagreements[:_SHOWN]:
        judge, people = ("pass" if said else "fail" for said in (each.judge, each.people))
        said = f"judge {judge} ({format_number(each.value)}), humans {people}"
        why = f": {line(each.explanation.text, 120)}" if each.explanation.text else ""
        yield from textwrap.wrap(
            f"{each.item_id}  {said}{why}", width, initial_indent=" " * 4, subsequent_indent=" " * 6
        )
    more = len(view.disagreements) - _SHOWN + view.more_disagreements
    if more > 0:
        yield f"    and {more:,} more"


def _history(view: JudgeView, width: int) -> Iterator[str]:
    if view.anchors is None:
        return
    yield "  anchors"
    shown = view.anchors.points[-_PASSES:]
    if len(shown) < len(view.anchors.points):
        yield f"    {len(view.anchors.points) - len(shown):,} earlier passes"
    for words in (*map(point_words, shown), *anchor_change_lines(view.anchors)):
        yield from textwrap.wrap(words, width, initial_indent=" " * 4, subsequent_indent=" " * 6)
