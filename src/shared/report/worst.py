"""The worst items of a metric: a heap of a few, filled while results stream by."""

from __future__ import annotations

import heapq

from shared.core.results import MetricScore, StoredResult
from shared.report.mask import mask
from shared.report.records import ReportOptions, ScoreLine, WorstItem
from shared.report.text import Text, cut, line

_MOST_SCORES = 40


class Worst:
    """Keeps the few items with the lowest `rank`; of equals those that did not pass more metrics, then the earlier."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._heap: list[tuple[float, int, int, WorstItem]] = []
        self._seen = 0

    def add(self, score: MetricScore, judged: StoredResult, rank: float) -> None:
        """Offer an item; texts are cut now, so that nothing large is kept."""
        self._seen += 1
        key = (-rank, sum(each.passed is False for each in judged.scores), -self._seen)
        if len(self._heap) < self._options.worst:
            heapq.heappush(self._heap, (*key, _card(score, judged, self._options)))
        elif self._heap and key > self._heap[0][:3]:
            heapq.heapreplace(self._heap, (*key, _card(score, judged, self._options)))

    def build(self) -> tuple[WorstItem, ...]:
        """The items kept, worst first."""
        return tuple(entry[3] for entry in sorted(self._heap, key=lambda entry: entry[:3], reverse=True))


def _card(score: MetricScore, judged: StoredResult, options: ReportOptions) -> WorstItem:
    item, texts = judged.item, options.show_text

    def text(value: str | None) -> Text | None:
        return cut(value, options.text_limit) if value is not None and texts else None

    sources = (item.retrieved_content or ()) if texts else ()
    return WorstItem(
        item_id=line(item.id),
        value=score.value,
        passed=score.passed,
        explanation=cut(mask(score.explanation[: 2 * options.text_limit]), options.text_limit) if texts else Text(""),
        query=text(item.query),
        answer=text(item.actual_output),
        expected=text(item.expected_output),
        sources=tuple(cut(each, options.text_limit) for each in sources[: options.sources]),
        more_sources=max(0, len(sources) - options.sources),
        scores=tuple(
            ScoreLine(line(each.label, 60), each.value, each.passed, each.threshold)
            for each in judged.scores[:_MOST_SCORES]
        ),
        failed=tuple(line(f"{each.metric.label}: {each.kind}") for each in judged.failures[:_MOST_SCORES]),
        trace_id=item.trace_id and line(item.trace_id),
        timestamp=item.source_timestamp,
        probability=judged.decision.probability,
        stratum=line(judged.decision.stratum, 60),
    )
