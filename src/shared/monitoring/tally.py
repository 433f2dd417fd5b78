"""What a run counts and estimates while its results pass by, and which samples it reports: exactly one run gives the
estimates of a sample, over all its items, whoever scored them. It is the one that scored the last of them; if that one
was killed before it could report, the next run that is alone does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.core.counts import Information, ModelUsage
from shared.core.results import Decision, Estimate, ItemResult, MetricScore, RunCounts
from shared.core.state.claims import SampledItem, SampleResult
from shared.monitoring.plan import MonitorPlan, Ports
from shared.scoring.statistics.estimates import EstimateBuilder
from shared.scoring.tree import CHILD_FAILED, value_ranges

_EXAMPLES = 5
_LOST = 0.9  # share of failed items that says nothing of a sample, also where all failures are allowed

ELSEWHERE = Information(
    "other runs share the draw of this one; the one that scores its last item reports the estimates"
)
HELD = "too many items of this sample failed; the run that finishes it publishes its estimates"

_OWN = ("JudgeTooLong", "JudgeRefused", "ItemError")
_OPENAI = ("BadRequestError", "UnprocessableEntityError", "ContentFilterFinishReasonError")
_LITELLM = ("ContentPolicyViolationError", "ContextWindowExceededError")
PERMANENT = frozenset({*_OWN, *_OPENAI, *_LITELLM})
"""Kinds of failures that no other try can help: the item would have to be another one. Those of the packages that
metrics of deepeval or ragas ask models by are told by their names.
"""

_FEW = 5  # failures that may be the fault of the items where a metric has given no score yet

Rows = ItemResult | SampleResult


def describe_given_up(exhausted: int, tries: int, hopeless: int) -> list[str]:
    """Notes about items that are not tried again."""
    notes = [f"given up after {tries} tries: {exhausted:,} item(s), with the scores that they have"]
    why = "another try would fail in the same way, as long as the item is the same"
    return notes[: exhausted > 0] + ([f"{hopeless:,} item(s) are not tried again: {why}"] if hopeless else [])


def _find_stuck_metrics(result: ItemResult) -> frozenset[str] | None:
    """The metrics that failed because of what a server, or a metric, refuses; None where another try may help."""
    kinds = {each.kind for each in result.failures} - {CHILD_FAILED}
    if not kinds or not kinds <= PERMANENT:
        return None
    return frozenset(each.metric.label for each in result.failures if each.kind in PERMANENT - {"JudgeTooLong"})


class RunTally:
    """Counts of one run, and estimates over the draw that it makes or finishes.

    Items that failed in an earlier run and are tried again are counted, and are not part of the estimates: theirs was
    another draw, whose report has been written.
    """

    def __init__(self, plan: MonitorPlan) -> None:
        self._counts: Counter[str] = Counter()
        self.kinds: dict[str, int] = {}
        self.examples: dict[tuple[str, str], str] = {}
        self.costs: dict[str, float] = {}
        self._answered: set[str] = set()
        self._not_applicable: Counter[str] = Counter()
        self._tried = self._missed = 0
        self.again: list[str] = []
        self._gave: set[str] = set()
        self._permanent: Counter[str] = Counter()
        self._stuck: dict[str, frozenset[str]] = {}
        self.open_nodes: set[str] = set()
        self._missed_again = 0
        self._plan = plan
        self._by_chance = {metric.label for metric in plan.runner.metrics if metric.spec.by_chance}
        metrics = {metric.label: (metric.spec.low, metric.spec.high) for metric in plan.runner.metrics}
        self._ranges = value_ranges(plan.runner.nodes, metrics)
        self.forget()

    def forget(self) -> None:
        """Begin the estimates anew; the counts stay."""
        plan = self._plan
        self._estimates = EstimateBuilder(self._ranges, aggregates_allowed=plan.aggregates, population=plan.population)

    @property
    def failure_share(self) -> float:
        """Failed scores among those tried for the first time; nodes that fail because a child did do not count."""
        return self._missed / self._tried if self._tried else 0.0

    @property
    def no_metric_share(self) -> float:
        """Items without any score or failure, because no metric applies, among the items of the run."""
        items = self._counts["scored"] + self._counts["failed_items"]
        return self._counts["no_metric"] / items if items else 0.0

    def not_applicable_notes(self) -> list[str]:
        """A warning for each metric that applied to none of the items."""
        notes = []
        for each in self._plan.runner.metrics:
            count = self._not_applicable[each.label]
            if count and each.label not in self._answered:
                needed = ", ".join(each.spec.needs or each.reads)
                notes.append(
                    f"metric {each.label!r} applied to none of {count:,} item(s), so it has no scores; check its"
                    f" field_mapping, and that the items have what it reads: {needed}"
                )
        return notes

    def add_evidence(self, results: Sequence[ItemResult]) -> None:
        """Learn which metrics give scores, before the results are stored and counted."""
        self._gave.update(score.label for result in results for score in result.scores)

    def is_hopeless(self, result: ItemResult) -> bool:
        """Whether no other try can help an item that failed, as far as this run can tell."""
        labels = _find_stuck_metrics(result)
        return labels is not None and self._are_stuck(labels)

    def hopeless(self) -> list[str]:
        """The items that no other try can help, at the end of the run; not those whose nodes wait (`open_nodes`)."""
        stuck = (each for each, labels in self._stuck.items() if self._are_stuck(labels))
        return [each for each in stuck if each not in self.open_nodes]

    def _are_stuck(self, labels: frozenset[str]) -> bool:
        """Whether it is the item's fault that these metrics failed. Where a metric has given no score in this run, the
        configuration may be what a server refuses."""
        few = self._tried and self.failure_share <= self._plan.limits.max_failure_share
        return all(label in self._gave or (few and self._permanent[label] < _FEW) for label in labels)

    @property
    def counts(self) -> RunCounts:
        """All counts so far."""
        return RunCounts(**self._counts)

    def cost(self, usage: Sequence[ModelUsage]) -> float | None:
        """What models were paid, also for what failed, and what the scores of other metrics say that they cost."""
        asked = {label for each in usage for label in (each.metric, each.metric.rpartition(".")[0])}  # or a part's
        known = [each.cost for each in usage if each.cost is not None]
        known += [cost for label, cost in self.costs.items() if label not in asked]
        return sum(known) if known else None

    def share_of(self, draws: int) -> float:
        """Of a run that tried nothing for the first time: what failed again, among that and the scores that there are
        of the same draws. So one stubborn item of many is no alarm, and a draw that still fails whole is one.
        """
        return self._missed_again / (self._missed_again + draws) if self._missed_again else 0.0

    @property
    def only_again(self) -> bool:
        """Whether all that was tried had failed before (`again` are the items)."""
        return not self._tried and bool(self.again)

    def add(self, **steps: int) -> None:
        """Raise counts by their names."""
        self._counts.update(steps)

    def count(self, result: ItemResult, drawn: SampledItem, of_this_run: bool) -> None:
        """Take the result of one item."""
        made: Sequence[MetricScore] = result.scores
        if drawn.have:
            before = {(score.label, score.metric.digest) for score in drawn.have}
            made = [score for score in made if (score.label, score.metric.digest) not in before]
        for failure in result.failures:
            self.kinds[failure.kind] = self.kinds.get(failure.kind, 0) + 1
            if failure.kind != CHILD_FAILED and len(self.examples) < _EXAMPLES:
                why = f"{failure.metric.label} on {failure.item_id}: {failure.kind}: {failure.message}"
                self.examples.setdefault((failure.metric.label, failure.kind), why)
        for score in made:
            if score.cost is not None:
                self.costs[score.label] = self.costs.get(score.label, 0.0) + score.cost
        labels = _find_stuck_metrics(result)
        if labels is not None:
            self._permanent.update(labels)
            self._stuck[result.item.id] = labels
        counts = self._counts
        counts["failed_items" if result.failures else "scored"] += 1
        counts["scores"] += len(made)
        counts["failures"] += len(result.failures)
        counts["not_applicable"] += len(result.not_applicable)
        self._not_applicable.update(result.not_applicable)
        self._answered.update(score.metric.label for score in result.scores)
        self._answered.update(failure.metric.label for failure in result.failures)
        counts["no_metric"] += not (result.scores or result.failures)
        counts["resumed"] += not of_this_run
        missed = sum(failure.kind != CHILD_FAILED for failure in result.failures)
        if drawn.attempts == 0:
            self._tried += len(made) + missed
            self._missed += missed
            self.estimate(result, drawn.decision, result.not_applicable)
        else:
            self.again.append(result.item.id)
            self._missed_again += missed

    def estimate(self, rows: Rows, decision: Decision, not_applicable: tuple[str, ...] = ()) -> None:
        """Take the rows of one item into the estimates."""
        for score in rows.scores:
            self._estimates.add(score, decision)
        broken = {failure.metric.label for failure in rows.failures}
        for failure in rows.failures:  # of a node: was it the child that judges by chance?
            by_chance = failure.kind != CHILD_FAILED or not broken.isdisjoint(self._by_chance)
            self._estimates.add_failure(failure.metric.label, by_chance)
        for label in not_applicable:
            self._estimates.add_not_applicable(label)

    def estimates(self) -> tuple[Estimate, ...]:
        """One estimate per label."""
        inverse = tuple(metric.label for metric in self._plan.runner.metrics if metric.inverse)
        below = tuple(f"{label}_" for label in inverse)
        return tuple(
            replace(
                each,
                inverse=each.label in inverse or (each.kind == "sub_metric" and each.label.startswith(below)),
                population=self._plan.population,
            )
            for each in self._estimates.build()
        )


class SampleShares:
    """The items that one run scored, by sample."""

    def __init__(self, plan: MonitorPlan, ports: Ports, worker: str) -> None:
        self._stream, self._reports, self._worker = plan.stream, ports.state.reports, worker
        self._most_retries = min(plan.limits.max_failure_share, _LOST)
        self._mine: Counter[str] = Counter()
        self._tried_again: set[str] = set()
        self._ids: set[str] = set()
        self._mixed = False

    def add_draw(self, run_id: str) -> None:
        """The run has a draw of its own."""
        self._mine[run_id] += 0

    def add_scored(self, drawn: SampledItem) -> None:
        """The run has scored an item, for the first time or again."""
        self._ids.add(drawn.item.id)
        if drawn.attempts == 0:
            self._mine[drawn.draw] += 1
        else:
            self._tried_again.add(drawn.draw)

    def claim_reports(self, tally: RunTally, thinned: Mapping[str, int]) -> tuple[list[str], str]:
        """The samples that this run may report, and what the user should know of it; afterwards the tally's estimates
        are of all items of these samples. `thinned` are the items that the run left out of its samples by chance.

        A sample of which too many items failed and are tried again (a judge was down) is reported by the run that
        finishes it; meanwhile the tally shows what there is.
        """
        sizes = self._reports.find_finished_samples(self._stream, {*self._mine, *self._tried_again}, self._worker)
        if not sizes:
            return [], ELSEWHERE if self._mine else ""
        retries = self._reports.count_retries(self._stream, sizes)
        held = {name for name, count in retries.items() if count > self._most_retries * sizes[name]}
        sizes = {name: size for name, size in sizes.items() if name not in held}
        if not sizes:
            return [], HELD
        alone = not self._mixed and sizes.keys() == self._mine.keys()
        if alone and all(self._mine[draw] + thinned.get(draw, 0) == size for draw, size in sizes.items()):
            return list(sizes), ""
        self._mixed = True  # from here on the tally holds what other runs have scored, too
        tally.forget()
        others = 0
        for row in self._reports.read_sample_results(self._stream, sizes):
            tally.estimate(row, row.decision, row.not_applicable)
            others += row.decision.item_id not in self._ids
        note = f"this run reports a draw of which {others:,} items were scored by other runs; they are counted in"
        return list(sizes), Information(note) if others else ""
