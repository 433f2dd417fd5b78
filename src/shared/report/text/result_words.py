"""What a run's numbers, costs and deliveries mean, in words that the terminal, the page and the commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.core.clock import iso
from shared.core.counts import BudgetUse, DeliveryStatus, ModelUsage
from shared.core.results import Kind, RunCounts, RunReport, Status
from shared.core.state.item_history import DeliveryRecord
from shared.report.text.formatting import format_dollars, format_percent, line

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
    "busy": ("!", "Another run is at work", "warn"),
}
"""How a run ended: a sign, its words, and how good that is."""

KIND_WORDS: Mapping[Kind, str] = {"metric": "", "sub_metric": "part", "aggregate": "combined"}

NO_ESTIMATE = "no estimate: not a random sample"
"""Why an inspection queue has no mean."""

_DELIVERY_COUNTS = ("verified", "skipped", "failed", "failed before", "pending", "not verified yet")


def count_words(n: int, one: str, more: str = "") -> str:
    """A count with its noun."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def result_sentence(run: RunReport) -> str:
    """One sentence: what the run did."""
    at = run.counts
    if run.status == "nothing_new":
        return f"Nothing new: {_nothing_new_reason(at)}."
    if run.status == "busy":
        return "This run did nothing; the other one scores what is new."
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
    broken = (f"{count_words(at.broken, 'record')} broken",) if at.broken else ()
    return (*broken, f"{count_words(at.failures, 'failure')} of metrics") if at.failures else broken


def counts_at(each: DeliveryStatus) -> tuple[tuple[str, int, bool], ...]:
    """Each count of a sink: its name, the number, and whether it is one to worry about."""
    numbers = (each.verified, each.skipped, each.failed, each.failed_before, each.pending, each.sent)
    worry = (False, False, True, True, each.required, False)
    return tuple((name, n, bad and n > 0) for name, n, bad in zip(_DELIVERY_COUNTS, numbers, worry, strict=True))


def published_lines(published: Sequence[DeliveryStatus]) -> list[str]:
    """A line for each sink, and one for each reason why something is not there."""
    lines = []
    for each in published:
        found = ", ".join(f"{n:,} {name}" for name, n, _ in counts_at(each) if n)
        unit = ("batches" if each.whole else "scores") + ("" if each.required else ", best effort")
        lines.append(f"{line(each.sink, 60)} ({unit}): {found or 'nothing new'}")
        lines += [f"  {n:,} x {line(why, 500)}" for why, n in each.reasons.items()]
    return lines


def delivered_words(each: DeliveryRecord) -> str:
    """How far one row of an item is: `langfuse, Exact: verified, 1 try, 2026-11-20 08:00:12Z`."""
    what = f"{line(each.sink, 60)}, {line(each.label, 40)}" if each.label else line(each.sink, 60)
    tries = f", {count_words(each.attempts, 'try', 'tries')}" if each.attempts else ""
    at = "" if each.at is None else f", {iso(each.at)[:19]}Z"
    again = f", again at {iso(each.next_try_at)[:19]}Z" if each.state == "pending" and each.attempts else ""
    why = f": {line(each.reason, 300)}" if each.reason else ""
    return f"{what}: {each.state}{tries}{at}{again}{why}"


def sum_usage(rows: Sequence[ModelUsage]) -> ModelUsage:
    """The rows added up; the cost as far as it is known, None where it is not known of any."""
    known = [row.cost for row in rows if row.cost is not None]
    names = ("calls", "cached", "failed", "input", "cached_input", "output", "estimated")
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    return ModelUsage("all", "", **sums, cost=sum(known) if known else None)


def has_unpriced(rows: Sequence[ModelUsage]) -> bool:
    """Whether something was paid for that has no price."""
    return any(row.cost is None and (row.calls or row.failed) for row in rows)


def budget_words(use: BudgetUse) -> str:
    """How much of a limit is used: `61.5 % of the $0.05 a day is used ($0.01 by this run)`."""
    limit, spent = f"{use.limit:,.0f} tokens", f"{use.spent:,.0f} tokens"
    if use.unit == "usd":
        limit = f"${use.limit:,.2f}" if use.limit >= 0.01 else f"${use.limit:.10f}".rstrip("0")
        spent = format_dollars(use.spent)
    own = f" ({spent} by this run)" if use.per != "run" else ""
    return f"{format_percent(use.share)} of the budget of {limit} a {use.per} is used{own}"


def cost_lines(run: RunReport) -> list[str]:
    """Some lines on what was asked of models; none when nothing was."""
    usage = run.spending.usage
    if not usage:
        return []
    lines = [f"models: {_usage_words(sum_usage(usage))}"]
    if len(usage) > 1:
        lines += [f"  {line(row.metric, 40)} asks {line(row.model, 60)}: {_usage_words(row)}" for row in usage[:10]]
    if len(usage) > 10:
        lines.append(f"  and {len(usage) - 10:,} more metrics and models")
    return [*lines, *(budget_words(use) for use in run.spending.budget)]


def _usage_words(row: ModelUsage) -> str:
    asked = [f"{row.calls:,} calls"]
    asked += [f"{row.cached:,} from cache"] if row.cached else []
    asked += [f"{row.failed:,} failed"] if row.failed else []
    cached = f" ({row.cached_input:,} cached)" if row.cached_input else ""
    cost = "no price is known" if row.cost is None else format_dollars(row.cost)
    return f"{', '.join(asked)}; {row.input:,} tokens in{cached}, {row.output:,} out; {cost}"
