"""From a metric's answer to judged rows: the value against its own threshold, sub-metrics against theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore, Part, Score
from shared.core.storable_values import find_unstorable
from shared.scoring.metric import BoundMetric


@dataclass(slots=True)
class ItemVerdicts:
    """What has been said of one item so far. `pending` counts metrics that have not answered yet."""

    item: DatasetItem
    scores: list[MetricScore] = field(default_factory=list)
    failures: list[MetricFailure] = field(default_factory=list)
    not_applicable: list[str] = field(default_factory=list)
    postponed: list[str] = field(default_factory=list)
    pending: int = 0

    def fail(self, metric: BoundMetric, kind: str, message: str) -> None:
        """Record that the metric gave no score."""
        self.failures.append(MetricFailure(metric.ref, self.item.id, kind, message))

    def result(self) -> ItemResult:
        """The immutable record of it all."""
        not_applicable, postponed = tuple(self.not_applicable), tuple(self.postponed)
        return ItemResult(self.item, tuple(self.scores), tuple(self.failures), not_applicable, postponed)


def record_answer(metric: BoundMetric, answer: Any, verdicts: ItemVerdicts) -> None:
    """Record a metric's answer: a score, a number, or None for "does not apply".

    An answer of another type, NaN, infinity, or a value out of the metric's range is a failure, never a score.
    """
    if answer is None:
        verdicts.not_applicable.append(metric.ref.label)
        return
    score = answer if answer.__class__ is Score else None
    value = score.value if score is not None else answer
    wrong = _find_wrong_value(value, metric)
    if wrong is not None:
        verdicts.fail(metric, *wrong)
        return
    if score is None:
        value = float(value)
        verdicts.scores.append(MetricScore(metric.ref, value, metric.passes(value), metric.threshold))
    else:
        _record_score(metric, score, verdicts)


def _find_wrong_value(value: Any, metric: BoundMetric) -> tuple[str, str] | None:
    """The kind and message of what is wrong with a value, None when it is a number in the metric's range."""
    answer = value
    if value.__class__ is not float:
        try:
            value = float(value) if not isinstance(value, str | bytes) else None
        except (TypeError, ValueError):
            value = None
        if value is None:
            found = type(answer).__name__
            return "NotANumber", f"the metric answered with {found}; expected a number, a Score or None"
    if not math.isfinite(value):
        return "NotFinite", f"the metric answered {value!r}"
    low, high = metric.spec.low, metric.spec.high
    if (low is not None and value < low) or (high is not None and value > high):
        return "OutOfRange", f"the metric answered {value!r}, outside of its range [{low}, {high}]"
    return None


def _record_score(metric: BoundMetric, score: Score, verdicts: ItemVerdicts) -> None:
    """Take a score with its parts, all of it or nothing of it."""
    wrong = _find_malformed(score) or _find_wrong_chance(score, metric)
    if wrong is not None:
        verdicts.fail(metric, *wrong)
        return
    value = float(score.value)
    row = MetricScore(
        metric.ref,
        value,
        metric.passes(value),
        metric.threshold,
        score.explanation,
        score.signals,
        "aggregate" if score.parts else "metric",
        cost=score.cost,
        model=score.model,
        proxy=score.proxy,
        chance=score.chance,
    )
    verdicts.scores.extend([row, *(_sub_metric_row(metric, part) for part in score.parts)])


def _find_malformed(score: Score) -> tuple[str, str] | None:
    """The kind and message of what is wrong with the rest of a score, so that it could not be stored."""
    texts = {"explanation": score.explanation} | ({} if score.model is None else {"model": score.model})
    parts = list(enumerate(score.parts))
    texts |= {f"parts[{i}].{name}": getattr(p, name) for i, p in parts for name in ("name", "explanation")}
    for where, text in texts.items():
        if not isinstance(text, str):
            return "Malformed", f"{where}: expected a text, found {type(text).__name__}"
    numbers = {} if score.cost is None else {"its cost is": score.cost}
    numbers |= {f"its sub-metric {part.name!r} answered": part.value for part in score.parts}
    limits = ((part.name, part.threshold) for part in score.parts)
    numbers |= {f"the threshold of {name!r} is": limit for name, limit in limits if limit is not None}
    for where, number in numbers.items():
        if not math.isfinite(number):
            return "NotFinite", f"{where} {number!r}"
    for where, signals in (("signals", score.signals), *((f"parts[{i}].signals", p.signals) for i, p in parts)):
        if problem := _find_wrong_signals(signals):
            return "Malformed", f"{where}: {problem}"
    names = [part.name for part in score.parts]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else ("Malformed", f"two sub-metrics are named {twice!r}")


def _find_wrong_signals(signals: object) -> str:
    """What is wrong with signals, which are stored as JSON; empty when nothing is."""
    if signals is None:
        return ""
    if not isinstance(signals, Mapping):
        return f"expected a mapping, found {type(signals).__name__}"
    problem = find_unstorable(signals)
    return f"they cannot be stored: {problem}" if problem else ""


def _find_wrong_chance(score: Score, metric: BoundMetric) -> tuple[str, str] | None:
    """The kind and message of what is wrong with a proxy and its chance, of which there are both or none."""
    proxy, chance = score.proxy, score.chance
    if proxy is None and chance is None:
        return None
    if proxy is None or chance is None or not 0.0 < chance <= 1.0:
        return "Malformed", f"proxy {proxy!r} with chance {chance!r}; expected both, the chance in (0, 1]"
    return _find_wrong_value(proxy, metric)


def _sub_metric_row(metric: BoundMetric, part: Part) -> MetricScore:
    """A sub-metric's row, `Parent_sub`, passed by its own threshold (configured, else its own, else none)."""
    ref = metric.ref
    threshold = metric.sub_thresholds.get(part.name, part.threshold)
    passed = None if threshold is None else part.value < threshold if metric.inverse else part.value >= threshold
    own = MetricRef(f"{ref.label}_{part.name}", f"{ref.name}.{part.name}", ref.version, ref.digest)
    value = float(part.value)
    return MetricScore(own, value, passed, threshold, part.explanation, part.signals, "sub_metric", ref.label)
