"""`collect`: one pass over a run's stored results, in bounded memory, and the aggregates of the stream's history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from shared.core.results import (
    Decision,
    Estimate,
    MetricFailure,
    MetricRef,
    MetricScore,
    ResultOutline,
    RunReport,
    StoredResult,
)
from shared.core.state.run_stores import ResultReader
from shared.privacy.redact_records import redact_report
from shared.report.page.score_history import build_history
from shared.report.page.worst_items import WorstItems
from shared.report.records.histogram import Histogram
from shared.report.records.page_records import (
    DayPoint,
    Direction,
    FailureExample,
    FailureGroup,
    MetricView,
    ReportData,
    ReportOptions,
    SampleSummary,
    Stratum,
)
from shared.report.text.formatting import Text, line, truncate

_MOST_GROUPS = 60
_MOST_STRATA = 30
_CONFIG_LIMIT = 100_000
_MESSAGE_LIMIT = 1_000
_LONGEST_MESSAGE = 10_000


def collect(
    reader: ResultReader, run: RunReport, config_text: str | None = None, options: ReportOptions | None = None
) -> ReportData:
    """Everything the page about `run` needs, from what is stored. `config_text` None is the one stored with the run."""
    options = options or ReportOptions()
    run = redact_report(run, options.cleaner)
    if not options.show_text:  # why a record is broken quotes it; where it stands does not
        run = replace(run, broken=tuple(each.partition(": ")[0] for each in run.broken))
    gathered = _PageCollector(options)
    for result in reader.read_outlines(run.stream, run.run_id):
        gathered.add(result)
    shown = reader.read_shown(run.stream, run.run_id, gathered.shown_ids())
    history = build_history(reader.read_aggregates(run.stream, options.days), options)
    written = run.config.text if config_text is None else options.cleaner.redact_yaml(config_text)
    config = truncate(written, _CONFIG_LIMIT)
    return gathered.build(run, PageParts(shown, history, config))


class _Strata:
    """Counts drawn items by stratum, the first thousand names apart."""

    def __init__(self, options: ReportOptions) -> None:
        self._cleaner = options.cleaner
        self._found: dict[str, Stratum] = {}
        self._total = Stratum("all", 0, None, None, 0.0)
        self._strategies: dict[str, None] = {}

    def add(self, decision: Decision) -> None:
        if len(self._strategies) < 10:
            self._strategies.setdefault(decision.strategy)
        self._total = _count_item(self._total, decision.probability)
        name = decision.stratum if len(self._found) < 1_000 or decision.stratum in self._found else "other strata"
        self._found[name] = _count_item(self._found.get(name, Stratum(name, 0, None, None, 0.0)), decision.probability)

    def build(self) -> SampleSummary:
        strata = sorted(self._found.values(), key=lambda each: (-each.n, each.name))
        shown = tuple(strata[:_MOST_STRATA]) if len(strata) > 1 or any(each.name for each in strata) else ()
        shown = tuple(replace(each, name=self._cleaner.redact(each.name)) for each in shown)
        return SampleSummary(tuple(self._strategies), self._total, shown, len(strata) - len(shown) if shown else 0)


def _count_item(stratum: Stratum, probability: float | None) -> Stratum:
    if probability is None or stratum.stands_for is None:
        return replace(stratum, n=stratum.n + 1, low=None, high=None, stands_for=None)
    low = probability if stratum.low is None else min(stratum.low, probability)
    high = probability if stratum.high is None else max(stratum.high, probability)
    return replace(stratum, n=stratum.n + 1, low=low, high=high, stands_for=stratum.stands_for + 1 / probability)


class _Metric:
    """What one pass over the results learns about a metric."""

    def __init__(self, score: MetricScore, options: ReportOptions) -> None:
        self.ref: MetricRef = score.metric
        self.first = score
        self.direction: Direction | None = None
        self.histogram = Histogram()
        self.worst = WorstItems(options)

    def add(self, score: MetricScore, judged: ResultOutline) -> None:
        if self.direction is None and score.passed is not None and score.threshold is not None:
            above = score.value >= score.threshold
            self.direction = "at_least" if above == score.passed else "below"
        self.histogram.add(score.value, judged.decision.probability, score.passed)
        self.worst.add(score, judged, -score.value if self.direction == "below" else score.value)


class _Failures:
    """Counts failures by metric and kind, and keeps the first of each."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._found: dict[tuple[str, str], tuple[int, list[MetricFailure]]] = {}
        self.left_out = 0

    def add(self, failure: MetricFailure) -> None:
        key = (failure.metric.label, failure.kind)
        if key not in self._found and len(self._found) >= _MOST_GROUPS:
            self.left_out += 1
            return
        n, examples = self._found.get(key, (0, []))
        if len(examples) < self._options.examples:
            examples.append(failure)
        self._found[key] = (n + 1, examples)

    @property
    def item_ids(self) -> list[str]:
        return [each.item_id for _, examples in self._found.values() for each in examples]

    def build(self, shown: Mapping[str, StoredResult]) -> tuple[FailureGroup, ...]:
        groups = [
            FailureGroup(label, kind, n, tuple(self._example(each, shown) for each in examples))
            for (label, kind), (n, examples) in self._found.items()
        ]
        return tuple(sorted(groups, key=lambda group: (-group.n, group.label, group.kind)))

    def _example(self, failure: MetricFailure, shown: Mapping[str, StoredResult]) -> FailureExample:
        cleaner, message = self._options.cleaner, failure.message if self._options.show_text else ""
        text = truncate(cleaner.redact_message(message[:_LONGEST_MESSAGE]), _MESSAGE_LIMIT)
        found = shown.get(failure.item_id)
        trace_id = None if found is None else found.item.trace_id
        return FailureExample(line(cleaner.name(failure.item_id)), trace_id and line(cleaner.name(trace_id)), text)


class PageParts(NamedTuple):
    """What the page needs besides the run's scores: the items that are shown, the days of its stream, the config."""

    shown: Mapping[str, StoredResult]
    days: Mapping[str, tuple[DayPoint, ...]]
    config: Text


class _PageCollector:
    """Everything one pass over the results collects."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._metrics: dict[str, _Metric] = {}
        self._failures = _Failures(options)
        self._strata = _Strata(options)
        self._more: set[str] = set()

    def add(self, judged: ResultOutline) -> None:
        self._strata.add(judged.decision)
        for score in judged.scores:
            metric = self._metric(score) if math.isfinite(score.value) else None
            if metric is not None:
                metric.add(score, judged)
        for failure in judged.failures:
            self._failures.add(failure)

    def _metric(self, score: MetricScore) -> _Metric | None:
        found = self._metrics.get(score.label)
        if found is None and len(self._metrics) < self._options.labels:
            found = self._metrics[score.label] = _Metric(score, self._options)
        elif found is None and len(self._more) < 10_000:
            self._more.add(score.label)
        return found

    def shown_ids(self) -> list[str]:
        """The items of which more than their scores is shown."""
        worst = [item_id for each in self._metrics.values() for item_id in each.worst.item_ids]
        return [*worst, *self._failures.item_ids]

    def build(self, run: RunReport, parts: PageParts) -> ReportData:
        estimates = {each.label: each for each in run.estimates}
        labels = list(dict.fromkeys((*estimates, *self._metrics))) or list(parts.days)
        shown = labels[: self._options.labels]
        return ReportData(
            run=run,
            metrics=tuple(self._view(label, estimates.get(label), parts) for label in shown),
            failures=self._failures.build(parts.shown),
            sample=self._strata.build(),
            config=parts.config,
            more_labels=len(labels) - len(shown) + len(self._more - set(labels)),
            more_failures=self._failures.left_out,
        )

    def _view(self, label: str, estimate: Estimate | None, parts: PageParts) -> MetricView:
        found = self._metrics.get(label)
        ref = found.ref if found else MetricRef(label, "", "", "")
        distribution = found.histogram.build() if found else None
        kind, parent = (found.first.kind, found.first.parent) if found else ("metric", None)
        return MetricView(
            label=label,
            maker=f"{ref.name} {ref.version}".strip(),
            digest=ref.digest[:12],
            kind=estimate.kind if estimate else kind,
            parent=parent,
            estimate=estimate or Estimate(label, distribution.n if distribution else 0, kind=kind, inspection=True),
            direction=found.direction if found else None,
            distribution=distribution,
            days=parts.days.get(label, ()),
            worst=found.worst.build(parts.shown) if found and distribution and not distribution.constant else (),
            range=self._options.ranges.get(label, (None, None)),
        )
