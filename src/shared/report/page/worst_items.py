"""The worst items of a metric: a heap of a few, filled while results stream by."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace

from shared.core.results import MetricScore, ResultOutline, StoredResult
from shared.privacy.secret_gate import LOOKAHEAD
from shared.report.records.page_records import ReportOptions, ScoreLine, WorstItem
from shared.report.text.formatting import Text, clean, line

_MOST_SCORES = 40


class WorstItems:
    """Keeps the few items with the lowest `rank`; of equals those that did not pass more metrics, then the earlier."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._heap: list[tuple[float, int, int, str, MetricScore]] = []
        self._seen = 0

    def add(self, score: MetricScore, judged: ResultOutline, rank: float) -> None:
        """Offer an item."""
        self._seen += 1
        key = (-rank, sum(each.passed is False for each in judged.scores), -self._seen)
        if len(self._heap) < self._options.worst:
            heapq.heappush(self._heap, (*key, judged.item_id, score))
        elif self._heap and key > self._heap[0][:3]:
            heapq.heapreplace(self._heap, (*key, judged.item_id, score))

    @property
    def item_ids(self) -> list[str]:
        """The items kept, worst first."""
        return [entry[3] for entry in self._ordered()]

    def build(self, shown: Mapping[str, StoredResult]) -> tuple[WorstItem, ...]:
        """The items kept, worst first, made of what is stored of them."""
        kept = [(shown[item_id], score) for *_, item_id, score in self._ordered() if item_id in shown]
        return tuple(_redact_card(_card(score, judged, self._options), self._options) for judged, score in kept)

    def _ordered(self) -> list[tuple[float, int, int, str, MetricScore]]:
        return sorted(self._heap, key=lambda entry: entry[:3], reverse=True)


def _card(score: MetricScore, judged: StoredResult, options: ReportOptions) -> WorstItem:
    """The item, its texts still raw."""
    item, texts, limit = judged.item, options.show_text, options.text_limit
    same = (each for each in judged.scores if (each.label, each.metric.digest) == (score.label, score.metric.digest))
    explanation = next(same, score).explanation

    def keep(value: str) -> Text:
        return Text(value[: limit + LOOKAHEAD], max(0, len(value) - limit))

    def text(value: str | None) -> Text | None:
        return keep(value) if value is not None and texts else None

    sources = (item.retrieved_content or ()) if texts else ()
    return WorstItem(
        item_id=item.id,
        value=score.value,
        passed=score.passed,
        explanation=keep(explanation) if texts else Text(""),
        query=text(item.query),
        answer=text(item.actual_output),
        expected=text(item.expected_output),
        sources=tuple(keep(each) for each in sources[: options.sources]),
        more_sources=max(0, len(sources) - options.sources),
        scores=tuple(
            ScoreLine(line(each.label, 60), each.value, each.passed, each.threshold)
            for each in judged.scores[:_MOST_SCORES]
        ),
        failed=tuple(line(f"{each.metric.label}: {each.kind}") for each in judged.failures[:_MOST_SCORES]),
        trace_id=item.trace_id,
        timestamp=item.source_timestamp,
        probability=judged.decision.probability,
        stratum=judged.decision.stratum,
    )


def _redact_card(card: WorstItem, options: ReportOptions) -> WorstItem:
    """The card as it is shown."""
    cleaner = options.cleaner

    def redact(text: Text) -> Text:
        return Text(clean(cleaner.redact(text.text, options.text_limit)), text.more)

    def maybe(text: Text | None) -> Text | None:
        return None if text is None else redact(text)

    return replace(
        card,
        item_id=line(cleaner.name(card.item_id)),
        trace_id=card.trace_id and line(cleaner.name(card.trace_id)),
        explanation=redact(card.explanation),
        query=maybe(card.query),
        answer=maybe(card.answer),
        expected=maybe(card.expected),
        sources=tuple(map(redact, card.sources)),
        stratum=line(cleaner.redact(card.stratum), 60),
    )
