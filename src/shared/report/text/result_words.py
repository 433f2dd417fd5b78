"""What a run's numbers mean, in words that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Mapping

from shared.core.results import Kind, RunCounts, RunReport, Status
from shared.report.text.formatting import format_percent

STATUS: Mapping[Status, tuple[str, str, str]] = {
    "running": ("…", "Running", "plain"),
    "done": ("✓", "Done", "good"),
    "nothing_new": ("✓", "Nothing new", "good"),
    "failed": ("✗", "Failed", "bad"),
    "unpublished": ("✗", "Not all published", "bad"),
    "too_many_failures": ("✗", "Too many failures", "bad"),
    "over_budget": ("!", "Over budget", "warn"),
    "interrupted": ("!", "Interrupted", "warn"),
    "dry_run": ("○", "Dry run", "plain"),
}
"""How a run ended: a sign, its words, and how good that is."""

KIND_WORDS: Mapping[Kind, str] = {"metric": "", "sub_metric": "part", "aggregate": "combined"}

NO_ESTIMATE = "no estimate: not a random sample"
"""Why an inspection queue has no mean."""


def count_words(n: int, one: str, more: str = "") -> str:
    """A count with its noun."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def result_sentence(run: RunReport) -> str:
    """One sentence: what the run did."""
    at = run.counts
    if run.status == "nothing_new":
        return f"Nothing new: {_nothing_new_reason(at)}."
    origin = [f"{at.drawn:,} sampled from {count_words(at.pool, 'candidate')}"] if at.drawn or at.pool else []
    origin += [f"{at.resumed:,} sampled by another run"] if at.resumed else []
    failed = f", {count_words(at.failed_items, 'item')} with failed metrics" if at.failed_items else ""
    scored = f"{count_words(at.scored, 'item')} scored{failed}" + (f" ({', '.join(origin)})" if origin else "")
    if not at.failures:
        return f"{scored}; {count_words(at.scores, 'score')}, no failures."
    tried = f"{count_words(at.failures, 'failure')} among {count_words(at.scores + at.failures, 'score')} tried"
    return f"{scored}; {tried} ({format_percent(at.failure_share)})."


def _nothing_new_reason(at: RunCounts) -> str:
    if not at.read:
        return "the source had no records in its window"
    if at.already_scored:
        return f"of {count_words(at.read, 'record')} read, {at.already_scored:,} were processed before"
    return f"of {count_words(at.read, 'record')} read, none was new"


def counts_of(run: RunReport) -> tuple[tuple[str, int, bool], ...]:
    """The way of the records through the run: name, number, and whether it is one to worry about."""
    at = run.counts
    return (
        ("read", at.read, False),
        ("broken", at.broken, at.broken > 0),
        *((("skipped", at.filtered, False),) if at.filtered else ()),
        ("duplicates", at.duplicates, False),
        ("already scored", at.already_scored, False),
        ("candidates", at.pool, False),
        ("sampled", at.drawn, False),
        *((("thinned", at.thinned, False),) if at.thinned else ()),
        ("resumed", at.resumed, False),
        ("scored", at.scored, False),
        ("failed items", at.failed_items, at.failed_items > 0),
        ("scores", at.scores, False),
        ("failures", at.failures, at.failures > 0),
        ("not applicable", at.not_applicable, False),
        *((("no metric applies", at.no_metric, False),) if at.no_metric else ()),
        ("processed", at.marked, False),
    )


def problem_counts(run: RunReport) -> tuple[str, ...]:
    """What went wrong, as short phrases."""
    at = run.counts
    found = []
    if at.broken:
        found.append(f"{count_words(at.broken, 'record')} broken")
    if at.failures:
        found.append(f"{count_words(at.failures, 'failure')} of metrics")
    return tuple(found)
