"""Why an item has, or has not, its scores: one stored item in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.core.results import MetricScore, is_thinned
from shared.core.state.item_history import ItemHistory, SkippedItem
from shared.report.text.formatting import format_number, format_probability, format_time, line, wrap_text
from shared.report.text.result_words import count_words, delivered_words

_FINISHED = ("scored", "published")


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """How to tell it. `digests` are those of the metrics as configured now, by label; `max_attempts` and `policy` are
    the monitor's (`evaluation.max_attempts`, `scored_store.policy`); `postponing` says that the stream's newest run
    left items waiting for answers of models; `show_text` False leaves out what metrics said in words.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = 5
    policy: str = "never"
    postponing: bool = False
    show_text: bool = True


class MissingScore(NamedTuple):
    """A label without a score, and why."""

    label: str
    why: str


def explain_outcome(story: ItemHistory, options: HistoryOptions) -> str:
    """One sentence: how far the item came, and what comes next."""
    if story.state == "undrawn":
        return _explain_not_sampled(story)
    if story.state == "drawn":
        spent = next((each for each in story.passed if each.reason == "over_budget"), None)
        if spent is not None:
            times = f" ({count_words(spent.times, 'run')} so far)" if spent.times > 1 else ""
            broke = f"run {line(spent.run_id, 60)} had no budget left for it{times}"
            return f"Waiting: sampled, but {broke}. A later run scores it."
        late = " Its newest run postponed items whose answers come later; this may be one of them."
        return "Waiting: sampled, not scored yet. The next run scores it." + late * options.postponing
    if story.state == "failed":
        tries = f"{story.attempts} of {options.max_attempts} tries"
        if story.attempts >= options.max_attempts:
            return f"Failing: {tries} are used up; the next run gives up on it and publishes what it has."
        return f"Failing: {tries} are used; the next run asks again for what is missing."
    return _explain_finished(story)


def _explain_not_sampled(story: ItemHistory) -> str:
    chance = _probability_words(story)
    if is_thinned(story.decision.strategy):
        why = f"sampled, then dropped at random to stay within a budget ({chance} for both steps)"
        return f"Not scored: {why}. It is never a candidate again."
    return f"Not scored: it was not sampled ({chance}). An item that was not sampled is never a candidate again."


def _probability_words(story: ItemHistory) -> str:
    found = story.decision.probability
    return "not a random sample" if found is None else f"inclusion probability {format_probability(found)}"


def _explain_finished(story: ItemHistory) -> str:
    if not story.run_id:
        return "Marked as processed by another tool; nothing else is stored about it."
    if any(each.reason == "elsewhere" for each in story.passed):
        return "Not scored here: sampled, then found to be processed by a run with another state database."
    if story.not_applicable and not (story.scores or story.missing):
        return "Not applicable: none of the metrics applies to it, so it has no score."
    finished = "Scored and published" if story.delivered else "Scored and processed (no message to a sink is stored)"
    step = finished if story.state == "published" else "Scored; publishing it is not finished"
    failed = sum(each.state == "failed" for each in story.delivered)
    if failed and story.state != "published":
        step = f"Scored; {count_words(failed, 'message')} failed at a sink, so it is not processed or rescored"
    if story.missing:
        step = step.replace("Scored", f"Given up after {count_words(story.attempts, 'try', 'tries')}", 1)
    gone = f", {len(story.missing):,} without one" if story.missing else ""
    return f"{step}: {count_words(len(story.scores), 'score')}{gone}."


def missing_scores(story: ItemHistory, options: HistoryOptions) -> list[MissingScore]:
    """Why labels that are configured, or failed, have no score; none for an item that was not drawn."""
    if story.state == "undrawn":
        return []
    have = {each.score.label for each in story.scores}
    last = {each.failure.metric.label: each.failure for each in story.missing}
    found = []
    for label in dict.fromkeys((*options.digests, *story.not_applicable, *last)):
        if label in have:
            continue
        if label in last:
            found.append(MissingScore(label, f"{last[label].kind}: {last[label].message}"))
        elif label in story.not_applicable:
            found.append(MissingScore(label, "does not apply to this item"))
        else:
            found.append(MissingScore(label, _never_asked(story, options)))
    return found


def _never_asked(story: ItemHistory, options: HistoryOptions) -> str:
    if story.state in _FINISHED:
        again = "" if options.policy in ("metric", "content_or_metric") else (
            f" An item is not scored again for a new metric (scored_store.policy: {options.policy})."
        )  # fmt: skip
        return f"it was no metric of the monitor when the item was scored.{again}"
    return "not asked yet" if story.state == "drawn" else "comes with the next try"


def skipped_text(item_id: str, passed: Sequence[SkippedItem]) -> str:
    """Why an item without a decision was left out, for a terminal; empty when nothing is known."""
    words = {
        "later": "Not scored yet: the run that saw it first left it to a later one",
        "filtered": "Skipped by the extractor or the source",
    }
    known = [each for reason in words for each in passed if each.reason == reason]
    if not known:
        return ""
    why = f"{words[known[-1].reason]}: {line(known[-1].detail, 600)}"
    seen = f"  seen       {format_time(known[-1].at)}, run {line(known[-1].run_id, 60)}"
    return "\n".join([line(item_id, 200), *wrap_text(why), "", seen]).replace("\u00a0", " ") + "\n"


def history_text(story: ItemHistory, options: HistoryOptions) -> str:
    """The item's history for a terminal."""
    lines = [f"{line(story.decision.item_id, 200)}  {line(str(story.stream), 200)}"]
    lines += wrap_text(explain_outcome(story, options))
    lines += ["", *_facts(story)]
    for made in story.scores:
        now = options.digests.get(made.score.label)
        old = ", not by the metric as it is configured now" if now not in (None, made.score.metric.digest) else ""
        lines += ["", f"  {_score_line(made.score)}", f"    {_scored_by(made.score)}{old}"]
        lines.append(f"    {format_time(made.at)}, run {line(made.run_id, 60)}")
        if made.score.explanation and options.show_text:
            lines += wrap_text(line(made.score.explanation, 600), "    ")
    gaps = missing_scores(story, options)
    lines += ["", "without a score"] if gaps else []
    for gap in gaps:
        lines += wrap_text(line(gap.why, 600), f"  {line(gap.label, 40)}: ")
    lines += ["", "failed tries"] if story.failures else []
    for each in story.failures:
        head = f"  try {each.attempt}, {format_time(each.at)}, {line(each.failure.metric.label, 40)}: "
        lines += wrap_text(f"{line(each.failure.kind, 80)}: {line(each.failure.message, 600)}", head)
        lines.append(f"    run {line(each.run_id, 60)}")
    lines += ["", "at the sinks"] if story.delivered else []
    for sent in story.delivered:
        lines += wrap_text(delivered_words(sent), "  ")
    return "\n".join(lines).replace("\u00a0", " ") + "\n"


def _facts(story: ItemHistory) -> list[str]:
    at, item = story.decision, story.item
    facts = []
    if story.run_id:
        stratum = f", stratum {line(at.stratum, 60)}" if at.stratum else ""
        drawn = "sampled" if at.drawn else "not sampled"
        facts += [
            ("seen", f"{format_time(story.decided_at)}, run {line(story.run_id, 60)}"),
            ("decision", f"{drawn} by {line(at.strategy, 60)}, {_probability_words(story)}{stratum}"),
        ]
    if item is not None:
        trace = f", trace {line(item.trace_id, 120)}" if item.trace_id else ""
        facts.append(("timestamp", f"{format_time(item.source_timestamp)}{trace}"))
    if story.attempts:
        facts.append(("tries", f"{story.attempts:,} failed"))
    facts += [
        ("came", f"{each.times + 1:,} times in one reading; the first stands")
        for each in story.passed
        if each.reason == "duplicate"
    ]
    if story.batch_id:
        facts.append(("batch", line(story.batch_id, 60)))
    facts.append(("published", format_time(story.marked_at) if story.marked_at else "not yet"))
    return [f"  {name:<9}  {words}" for name, words in facts if not (name == "published" and story.state == "undrawn")]


def _score_line(score: MetricScore) -> str:
    passed = {True: ", passed", False: ", not passed", None: ""}[score.passed]
    limit = "" if score.threshold is None else f" (threshold {format_number(score.threshold)})"
    return f"{line(score.label, 40)}: {format_number(score.value)}{passed}{limit}"


def _scored_by(score: MetricScore) -> str:
    model = f", model {line(score.model, 60)}" if score.model else ""
    cost = f", ${score.cost:.6g}" if score.cost else ""
    return f"{line(score.metric.name, 60)} v{score.metric.version} ({score.metric.digest[:8]}){model}{cost}"
