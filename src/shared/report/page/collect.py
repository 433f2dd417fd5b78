"""`collect`: one pass over a run's stored results, in bounded memory, and the aggregates of the stream's history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from shared.core.records import DatasetItem
from shared.core.results import Decision, Estimate, MetricFailure, MetricRef, MetricScore, RunReport, StoredResult
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
    for result in reader.read_results(run.stream, run_id=run.run_id):
        gathered.add(result)
    history = build_history(reader.read_aggregates(run.stream, options.days), options)
    written = run.config.text if config_text is None else options.cleaner.redact_yaml(config_text)
    config = truncate(written, _CONFIG_LIMIT)
    return gathered.build(run, history, config)


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

    def add(self, score: MetricScore, judged: StoredResult) -> None:
        if self.direction is None and score.passed is not None and score.threshold is not None:
            above = score.value >= score.threshold
            self.direction = "at_least" if above == score.passed else "below"
        self.histogram.add(score.value, judged.decision.probability, score.passed)
        self.worst.add(score, judged, -score.value if self.direction == "below" else score.value)


class _Failures:
    """Counts failures by metric and kind, and keeps the first of each with different words."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._found: dict[tuple[str, str], tuple[int, list[FailureExample]]] = {}
        self.left_out = 0

    def add(self, failure: MetricFailure, item: DatasetItem) -> None:
        key = (failure.metric.label, failure.kind)
        if key not in self._found and len(self._found) >= _MOST_GROUPS:
            self.left_out += 1
            return
        n, examples = self._found.get(key, (0, []))
        if len(examples) < self._options.examples:
            examples.append(self._example(failure.message if self._options.show_text else "", item))
        self._found[key] = (n + 1, examples)

    def _example(self, message: str, item: DatasetItem) -> FailureExample:
        cleaner = self._options.cleaner
        text = truncate(cleaner.redact_message(message[:_LONGEST_MESSAGE]), _MESSAGE_LIMIT)
        return FailureExample(line(cleaner.name(item.id)), item.trace_id and line(cleaner.name(item.trace_id)), text)

    def build(self) -> tuple[FailureGroup, ...]:
        groups = [FailureGroup(label, kind, n, tuple(each)) for (label, kind), (n, each) in self._found.items()]
        return tuple(sorted(groups, key=lambda group: (-group.n, group.label, group.kind)))


class _PageCollector:
    """Everything one pass over the results collects."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._metrics: dict[str, _Metric] = {}
        self._failures = _Failures(options)
        self._strata = _Strata(options)
        self._more: set[str] = set()

    def add(self, judged: StoredResult) -> None:
        self._strata.add(judged.decision)
        for score in judged.scores:
            metric = self._metric(score) if math.isfinite(score.value) else None
            if metric is not None:
                metric.add(score, judged)
        for failure in judged.failures:
            self._failures.add(failure, judged.item)

    def _metric(self, score: MetricScore) -> _Metric | None:
        found = self._metrics.get(score.label)
        if found is None and len(self._metrics) < self._options.labels:
            found = self._metrics[score.label] = _Metric(score, self._options)
        elif found is None and len(self._more) < 10_000:
            self._more.add(score.label)
        return found

    def build(self, run: RunReport, days: Mapping[str, tuple[DayPoint, ...]], config: Text) -> ReportData:
        estimates = {each.label: each for each in run.estimates}
        labels = list(dict.fromkeys((*estimates, *self._metrics))) or list(days)
        shown = labels[: self._options.labels]
        return ReportData(
            run=run,
            metrics=tuple(self._view(label, estimates.get(label), days.get(label, ())) for label in shown),
            failures=self._failures.build(),
            sample=self._strata.build(),
            config=config,
            more_labels=len(labels) - len(shown) + len(self._more - set(labels)),
            more_failures=self._failures.left_out,
        )

    def _view(self, label: str, estimate: Estimate | None, days: tuple[DayPoint, ...]) -> MetricView:
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
            days=days,
            worst=found.worst.build() if found and distribution and not distribution.constant else (),
            range=self._options.ranges.get(label, (None, None)),
        )
