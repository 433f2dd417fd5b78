"""Judges against human labels: one pass over a stream's stored scores, beside the labels and the anchor set."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from shared.core.human_labels import AnchorPass
from shared.core.records import DatasetItem
from shared.core.results import MetricRef, MetricScore, StoredResult, Stream
from shared.core.state.run_stores import StateReader
from shared.privacy.secret_gate import LOOKAHEAD
from shared.report.judges.anchor_history import anchor_view
from shared.report.judges.judge_trust import Evidence, choose_method, corrections
from shared.report.records.judge_records import (
    Disagreement,
    JudgeOptions,
    JudgeVersion,
    JudgeView,
    LabelCounts,
    LabelsNeeded,
    PassRate,
    VersionKey,
)
from shared.report.text.formatting import Text, line, truncate
from shared.scoring.statistics.agreement import Interval, measure_agreement
from shared.scoring.statistics.corrected_rates import JudgedSample, label_moments, labels_needed, uncorrected_rate
from shared.scoring.statistics.label_votes import HumanVerdicts

HALF_WIDTHS = (0.05, 0.02)


def collect_judges(
    reader: StateReader,
    stream: Stream,
    people: Mapping[str, HumanVerdicts],
    options: JudgeOptions,
    passes: Sequence[AnchorPass] = (),
    own_id: Callable[[DatasetItem], str] = lambda item: item.id,
) -> tuple[JudgeView, ...]:
    """Every metric of the stream that has human labels or anchor passes, by label.

    Memory: some 20 bytes for each score of such a metric, 200 where the monitor scores items again. Scores of different
    versions of a metric are never mixed, and of one item's by the same version the newest counts. `own_id` gives the id
    that labels know a stored item by.
    """
    anchored = {each.metric.label for each in passes}
    columns = {
        label: _JudgeColumn(people.get(label, HumanVerdicts()), options) for label in sorted({*people, *anchored})
    }
    for result in reader.results.read_results(stream):
        item_id = own_id(result.item)
        for score in result.scores:
            column = columns.get(score.label)
            if column is not None:
                column.add(score, result, item_id)

    def began(run_id: str) -> datetime | None:
        run = reader.runs.read_run(run_id)
        return None if run is None else run.started_at

    return tuple(
        column.view(label, [each for each in passes if each.metric.label == label], began)
        for label, column in columns.items()
    )


@dataclass(slots=True)
class _Labelled:
    """A labelled item as the newest stored result has it: its place in the rows, and what is shown of it."""

    place: int
    item: DatasetItem
    score: MetricScore


@dataclass(slots=True)
class _JudgedRows:
    """What one version of a metric said: 17 bytes an item. `places` are by own id, of items that may come again."""

    ref: MetricRef
    threshold: float | None
    passed: array[int] = field(default_factory=lambda: array("b"))
    chances: array[float] = field(default_factory=lambda: array("d"))
    times: array[float] = field(default_factory=lambda: array("d"))
    places: dict[str, int] = field(default_factory=dict)
    labelled: dict[str, _Labelled] = field(default_factory=dict)
    by_chance: bool = True
    without_verdict: int = 0

    @property
    def newest(self) -> float:
        return max(self.times, default=0.0)

    def put(self, passed: bool, chance: float, at: float, may_come_again: str | None) -> int | None:
        """Take a verdict in; its place, or None where a newer one of the same item is there."""
        place = None if may_come_again is None else self.places.get(may_come_again)
        if place is not None and self.times[place] > at:
            return None
        if place is None:
            place = len(self.passed)
            for column in (self.passed, self.chances, self.times):
                column.append(0)
            if may_come_again is not None:
                self.places[may_come_again] = place
        self.passed[place], self.chances[place], self.times[place] = int(passed), chance, at
        return place


class _JudgeColumn:
    """All versions of one metric."""

    def __init__(self, people: HumanVerdicts, options: JudgeOptions) -> None:
        self._people, self._options = people, options
        self._versions: dict[VersionKey, _JudgedRows] = {}

    def add(self, score: MetricScore, result: StoredResult, item_id: str) -> None:
        rows = self._versions.setdefault(
            (score.metric.digest, score.threshold), _JudgedRows(score.metric, score.threshold)
        )
        if score.passed is None:
            rows.without_verdict += 1
            return
        probability = result.decision.probability if self._options.aggregates else None
        rows.by_chance &= probability is not None
        again = None if item_id == result.item.id else item_id
        place = rows.put(score.passed, probability or 1.0, result.scored_at.timestamp(), again)
        if place is not None and item_id in self._people.passed:
            agrees = self._people.passed[item_id] == score.passed
            kept = DatasetItem(id=item_id) if agrees else result.item  # only of disagreements texts are shown
            rows.labelled[item_id] = _Labelled(place, kept, score)

    def view(self, label: str, passes: Sequence[AnchorPass], began: Callable[[str], datetime | None]) -> JudgeView:
        """The newest version against human labels; the others are listed."""
        now = self._options.versions.get(label)
        found = None if now is None else self._versions.get(now)
        current = now is None or found is not None or not self._versions
        found = found or max(self._versions.values(), key=lambda rows: rows.newest, default=None)
        rows = found or _JudgedRows(passes[-1].metric if passes else MetricRef(label, "", "", ""), None)
        labelled, rest = self._parts(rows)
        agreement = measure_agreement(labelled.judge, labelled.people, labelled.probabilities)
        evidence = Evidence(labelled, rest, agreement, rows.by_chance, self._options.chosen, rows.without_verdict)
        found_rates = corrections(evidence)
        method, why = choose_method(evidence, found_rates)
        as_judged = uncorrected_rate(rows.passed, rows.chances) if rows.passed and rows.by_chance else None
        differing, more = self._disagreements(rows)
        return JudgeView(
            label=label,
            maker=_metric_version(rows.ref),
            digest=rows.ref.digest[:12],
            threshold=rows.threshold,
            others=tuple(
                JudgeVersion(_metric_version(each.ref), each.ref.digest[:12], each.threshold, len(each.passed))
                for each in self._versions.values()
                if each is not rows
            ),
            judged=len(rows.passed),
            labelled=len(rows.labelled),
            labels=LabelCounts(
                len(self._people.passed) - len(rows.labelled),
                len(self._people.undecided),
                self._people.several,
                self._people.kappa,
            ),
            agreement=agreement,
            rate=PassRate(as_judged, found_rates, method, why, _needs(evidence)),
            disagreements=differing,
            more_disagreements=more,
            anchors=anchor_view(passes, partial(self._window, began)) if passes else None,
            current=current,
        )

    def _parts(self, rows: _JudgedRows) -> tuple[JudgedSample, JudgedSample]:
        """The labelled items and the others, each with the judge's verdicts and the items' probabilities."""
        import numpy as np  # late: importing the monitor must not pull it in

        verdicts = np.asarray(rows.passed, dtype=np.float64)
        pi = np.asarray(rows.chances, dtype=np.float64)
        places = np.array([each.place for each in rows.labelled.values()], dtype=np.intp)
        people = np.array([self._people.passed[each] for each in rows.labelled], dtype=np.float64)
        others = np.ones(len(verdicts), dtype=bool)
        others[places] = False
        return JudgedSample(verdicts[places], pi[places], people), JudgedSample(verdicts[others], pi[others])

    def _window(
        self, began: Callable[[str], datetime | None], version: VersionKey, run_id: str, until: datetime | None
    ) -> Interval | None:
        """The pass rate of what one version judged from a run's beginning on; None where there is too little to say."""
        import numpy as np

        rows, start = self._versions.get(version), began(run_id)
        if rows is None or start is None or not rows.by_chance:
            return None
        times = np.asarray(rows.times)
        inside = (times >= start.timestamp()) & (times <= (until.timestamp() if until else np.inf))
        if np.count_nonzero(inside) < 2:
            return None
        return uncorrected_rate(np.asarray(rows.passed)[inside], np.asarray(rows.chances)[inside])

    def _disagreements(self, rows: _JudgedRows) -> tuple[tuple[Disagreement, ...], int]:
        """What the two see differently: first what the judge let pass, then by how sure of itself the judge was."""
        wrong = [
            (item_id, each) for item_id, each in rows.labelled.items()
            if bool(each.score.passed) != self._people.passed[item_id]
        ]  # fmt: skip
        wrong.sort(key=lambda pair: (not pair[1].score.passed, -_distance(pair[1].score), pair[0]))
        shown = wrong[: self._options.disagreements]
        cards = tuple(
            _disagreement_card(item_id, each, self._people.passed[item_id], self._options) for item_id, each in shown
        )
        return cards, len(wrong) - len(shown)


def _distance(score: MetricScore) -> float:
    return abs(score.value - (0.5 if score.threshold is None else score.threshold))


def _disagreement_card(item_id: str, labelled: _Labelled, people: bool, options: JudgeOptions) -> Disagreement:
    cleaner, limit = options.cleaner, options.text_limit

    def text(value: str | None) -> Text | None:
        if value is None or not options.show_text:
            return None
        return Text(
            truncate(cleaner.redact(value[: limit + LOOKAHEAD], limit), 2 * limit).text, max(0, len(value) - limit)
        )

    score, item = labelled.score, labelled.item
    return Disagreement(
        line(cleaner.name(item_id)),
        bool(score.passed),
        people,
        score.value,
        text(score.explanation) or Text(""),
        text(item.query),
        text(item.actual_output),
    )


def _needs(evidence: Evidence) -> tuple[LabelsNeeded, ...]:
    found = label_moments(evidence.labelled) if evidence.by_chance else None
    if found is None:
        return ()
    judged = evidence.labels + evidence.others
    return tuple(LabelsNeeded(each, labels_needed(found, judged, each)) for each in HALF_WIDTHS)


def _metric_version(ref: MetricRef) -> str:
    return f"{ref.name} {ref.version}".strip()
