"""The anchor set is judged again when the judge changed and on a schedule: what moves there is the judge, not the
application, for the items and the human labels on them stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.core.clock import Clock, iso, utc_now
from shared.core.counts import Information
from shared.core.errors import BusyError, ConfigError, FatalError
from shared.core.human_labels import AnchorPass, AnchorReason, AnchorSet, AnchorStore, AnchorVerdict
from shared.core.registry import hint
from shared.core.results import ItemResult, Stream
from shared.core.state.run_stores import ClaimStore
from shared.monitoring.plan import NoProgress, RunProgress
from shared.scoring.judging.ask_judge import REPEAT
from shared.scoring.metric import BoundMetric
from shared.scoring.runner import Runner, RunnerOptions


@dataclass(frozen=True, slots=True)
class AnchorPlan:
    """Which metrics are asked about the anchors, how long a pass stands (None: until the judge or the set changes),
    and how many votes each item gets (>= 1).
    """

    stream: Stream
    anchors: AnchorSet
    metrics: tuple[BoundMetric, ...]
    every: timedelta | None = None
    repeats: int = 1
    options: RunnerOptions = field(default_factory=RunnerOptions)


def find_anchor_reason(
    plan: AnchorPlan, metric: BoundMetric, past: Sequence[AnchorPass], now: datetime
) -> AnchorReason | None:
    """Why a metric is to be asked about the anchors now; None when its last pass still stands.

    `past` are the metric's passes, oldest first.
    """
    if not past:
        return "first"
    last = past[-1]
    if last.anchors != plan.anchors.digest:
        return "anchors changed"
    if (last.metric.digest, last.threshold) != (metric.ref.digest, metric.threshold):
        return "judge changed"
    return "schedule" if plan.every is not None and now - last.judged_at >= plan.every else None


def choose_anchor_metrics(
    metrics: Sequence[BoundMetric], chosen: Iterable[str], clean: Callable[[str], str] = str
) -> tuple[BoundMetric, ...]:
    """The metrics of these names; without names all. `clean` redacts a name in an error.

    Raises:
        ConfigError: when no metric has such a name.
    """
    names = list(chosen) or [metric.label for metric in metrics]
    found = tuple(metric for metric in metrics if metric.label in names)
    if not found:
        known = hint(names[0], [metric.label for metric in metrics])
        raise ConfigError(f"no metric is called {clean(names[0])!r}, as their labels. {known}")
    return found


async def try_judge_anchors(
    read_plan: Callable[[], AnchorPlan],
    claims: ClaimStore,
    store: AnchorStore,
    run_id: str,
    clock: Clock = utc_now,
    progress: RunProgress | None = None,
) -> tuple[str, ...]:
    """`judge_anchors` after a run, whose scores are stored: what goes wrong is a note and fails no run."""
    try:
        plan = read_plan()
        with claims.lock(plan.stream, 0.0):
            return await judge_anchors(plan, store, run_id, clock, progress)
    except BusyError:
        return ("the anchors were not judged: another run of this monitor is at work",)
    except (ConfigError, FatalError) as error:
        return (f"the anchors were not judged: {error}",)


async def judge_anchors(
    plan: AnchorPlan, store: AnchorStore, run_id: str, clock: Clock = utc_now, progress: RunProgress | None = None
) -> tuple[str, ...]:
    """Ask every metric that is due and keep its votes; notes for the user.

    A pass without a single verdict is reported and not kept, so that the next run asks again; nor is one of which
    answers come later. Cancelled, it keeps nothing of the pass that was underway.

    Raises:
        StoreError: when the passes cannot be read or written; OverBudget: when no further call may be made.
    """
    notes: list[str] = []
    for metric in plan.metrics:
        now, past = clock(), store.passes(plan.stream, metric.label)
        reason = find_anchor_reason(plan, metric, past, now)
        if reason is None:
            continue
        (progress or NoProgress()).stage(f"anchors: {metric.label}", len(plan.anchors.items) * plan.repeats)
        since = past[-1].judged_at if past else None
        verdicts, cost = await _collect_votes(plan, metric, since, progress or NoProgress())
        judged = AnchorPass(
            plan.stream, metric.ref, plan.anchors.digest, now, reason, run_id, verdicts, cost, metric.threshold
        )
        if len(verdicts) < len(plan.anchors.items) * plan.repeats:
            text = f"anchors: {metric.label} waits for answers that come later; the next run goes on with them"
            notes.append(Information(text))
            continue
        if any(each.value is not None for each in verdicts):
            store.add(judged)
        notes.append(_describe_pass(judged, plan))
    return tuple(notes)


async def _collect_votes(
    plan: AnchorPlan, metric: BoundMetric, since: datetime | None, progress: RunProgress
) -> tuple[tuple[AnchorVerdict, ...], float | None]:
    """Every vote that has an answer or a failure, by item and vote, and what they cost."""
    runner = Runner((metric,), (), plan.options)
    people = plan.anchors.labels.get(metric.label, {})
    verdicts: list[AnchorVerdict] = []
    costs: list[float] = []
    for repeat in range(plan.repeats):
        before = REPEAT.set(_repeat_key(since, repeat))
        try:
            async for result in runner.run(plan.anchors.items):
                progress.advance()
                if result.postponed:
                    continue
                verdicts.append(_make_verdict(result, metric.label, repeat, people.get(result.item.id)))
                costs += [score.cost for score in result.scores if score.cost is not None]
        finally:
            REPEAT.reset(before)
    verdicts.sort(key=lambda each: (each.item_id, each.repeat))
    return tuple(verdicts), sum(costs) if costs else None


def _repeat_key(since: datetime | None, repeat: int) -> str:
    """What sets a vote's calls apart in the response cache. The model itself may have changed behind its name, so not
    even the first vote may be an answer from before the last pass, nor one to a judge that was changed and has come
    back; the last pass's moment makes the mark, so that a pass which is broken off goes on with its own answers."""
    own = str(repeat) if repeat else ""
    return own if since is None else f"{iso(since)}/{own}"


def _make_verdict(result: ItemResult, label: str, repeat: int, people: float | None) -> AnchorVerdict:
    score = next((each for each in result.scores if each.label == label), None)
    failure = next((each.kind for each in result.failures), "")
    value, passed = (None, None) if score is None else (score.value, score.passed)
    return AnchorVerdict(result.item.id, repeat, value, passed, people, failure)


def _describe_pass(judged: AnchorPass, plan: AnchorPlan) -> str:
    failed = sum(bool(each.failure) for each in judged.verdicts)
    votes = f" {plan.repeats} times" if plan.repeats > 1 else ""
    cost = f", ${judged.cost:.4f}" if judged.cost else ""
    note = f"anchors: {judged.metric.label} judged {len(plan.anchors.items):,} anchors{votes} ({judged.reason}{cost})"
    if failed == len(judged.verdicts):
        kind = judged.verdicts[0].failure if judged.verdicts else "no item"
        return f"{note}, and failed on all of them ({kind}): nothing is kept, the next run asks again"
    if all(each.value is None for each in judged.verdicts):
        return f"{note}, and it applies to none of them: nothing is kept"
    return f"{note}; {failed:,} votes failed" if failed else Information(note)
