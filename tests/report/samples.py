"""Runs to report on: an ordinary one, and one in which every text is an attack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from shared.core.records import DatasetItem
from shared.core.results import (
    Decision,
    Estimate,
    MetricFailure,
    MetricScore,
    RunConfig,
    RunCounts,
    RunReport,
    Status,
    StoredResult,
    Stream,
)
from shared.report.page.collect import collect
from shared.report.records.page_records import ReportData, ReportOptions
from shared.scoring.statistics.estimates import EstimateBuilder
from tests.report.memory import MemoryReader, Row, ref

STREAM = Stream("file:desk", "desk-answers")
START = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
HOSTILE = (
    "</script></style></title></textarea><script>document.title='owned'</script><img src=//canary.invalid/x onerror="
    "alert(1)>\"' onload='x {{7*7}} {% raw %} &lt; <!-- \u202egnp.exe\u2066 \x00\x07\x1b[31m\x9b \ud800 \uffff"
)
CANARY = "http://127.0.0.1:{port}/canary"
THRESHOLDS: dict[str, tuple[float | None, bool]] = {
    "exact": (0.5, False),
    "overlap": (0.7, False),
    "always": (0.5, False),
    "latency": (5.0, True),
    "logprob_sum": (None, False),
}


def score(label: str, value: float, explanation: str = "") -> MetricScore:
    """A score with the verdict that its metric's threshold gives."""
    threshold, inverse = THRESHOLDS.get(label, (0.5, False))
    passed = None if threshold is None else value < threshold if inverse else value >= threshold
    return MetricScore(ref(label), value, passed, threshold, explanation)


def result(
    number: int,
    scores: Sequence[MetricScore],
    failures: Sequence[MetricFailure] = (),
    probability: float | None = 0.25,
    stratum: str = "",
) -> StoredResult:
    """One scored item; its texts carry its number."""
    item = DatasetItem(
        id=f"item-{number}",
        query=f"question {number}?",
        actual_output=f"answer {number}.",
        expected_output=f"gold {number}",
        retrieved_content=(f"source {number}",),
        trace_id=f"trace-{number}",
        source_timestamp=START + timedelta(hours=7 * number),
    )
    decision = Decision(item.id, True, probability, "random" if probability else "most_recent", stratum)
    return StoredResult(item, decision, tuple(scores), tuple(failures), START)


def run_of(results: Sequence[StoredResult], status: Status = "done", **more: object) -> RunReport:
    """The report of a run with these results."""
    builder = EstimateBuilder()
    for each in results:
        for one in each.scores:
            if math.isfinite(one.value):
                builder.add(one, each.decision)
        for failure in each.failures:
            builder.add_failure(failure.metric.label)
    scores, failures = sum(len(each.scores) for each in results), sum(len(each.failures) for each in results)
    counts = RunCounts(read=2 * len(results), pool=len(results), drawn=len(results), scored=len(results), scores=scores,
                    failures=failures)  # fmt: skip
    base = RunReport("run-1", "desk answers", STREAM, RunConfig("c" * 64), status, START, START + timedelta(seconds=75),
                     counts, builder.build())  # fmt: skip
    values = {name: getattr(base, name) for name in base.__dataclass_fields__} | more
    return RunReport(**values)


def data_of(
    results: Sequence[StoredResult],
    run: RunReport | None = None,
    config: str = "name: desk\n",
    options: ReportOptions | None = None,
) -> ReportData:
    """What the page of these results is made of."""
    run = run or run_of(results)
    return collect(MemoryReader([run], [Row(run.run_id, each) for each in results]), run, config, options)


def ordinary(count: int = 120) -> list[StoredResult]:
    """Items with five kinds of metrics: yes or no, a share, a constant, seconds with a far tail, a sum of logprobs."""
    rng = Random(11)
    out = []
    for number in range(count):
        if 30 <= number < 40:
            continue  # three days without traffic
        latency = rng.lognormvariate(0.6, 0.5) * (30 if number % 50 == 7 else 1)
        scores = [score("exact", float(rng.random() < 0.7)), score("overlap", round(rng.betavariate(8, 2), 4)),
                  score("always", 1.0), score("latency", latency),
                  score("logprob_sum", -abs(rng.gauss(40, 20)))]  # fmt: skip
        failures = [MetricFailure(ref("judge"), f"item-{number}", "TimeoutError", "30 s")] if number % 20 == 0 else []
        stratum = ("chat", "mail")[number % 2]
        out.append(result(number, scores, failures, (0.1, 0.5)[number % 2], stratum))
    return out


def hostile(payload: str = HOSTILE) -> tuple[list[StoredResult], RunReport]:
    """A run in which every text that a trace, a metric, a source or a config can bring is the payload."""
    big = payload + "A" * 1_000_000
    own_id = "".join(each for each in payload if each != "\0" and not "\ud800" <= each <= "\udfff")
    item = DatasetItem(id=own_id, query=big, actual_output=payload, expected_output=payload, trace_id=payload,
                       retrieved_content=(payload, big), source_timestamp=START)  # fmt: skip
    attack = ref(payload)
    scores = (MetricScore(attack, 0.0, False, 0.5, payload, kind="sub_metric", parent=payload),)
    fine = MetricScore(attack, 1.0, True, 0.5, kind="sub_metric", parent=payload)
    good = StoredResult(
        DatasetItem(id="good", source_timestamp=START),
        Decision("good", True, 0.5, payload, payload),
        (fine,),
        (),
        START,
    )
    failures = (MetricFailure(attack, payload, payload, big),)
    results = [StoredResult(item, Decision(payload, True, 0.5, payload, payload), scores, failures, START), good]
    run = run_of(
        results,
        run_id=payload,
        monitor=payload,
        stream=Stream(payload, payload),
        config=RunConfig(payload, payload, payload, {payload: payload, "nested": {payload: [payload]}}),
        notes=(payload, big),
        broken=(payload, big),
        failure_kinds={payload: 1},
        estimates=(Estimate(payload, 2, 0.5, 0.1, 0.9, 0.5, 0.1, 0.9, 0.5, "sub_metric", 1),),
    )
    return results, run
