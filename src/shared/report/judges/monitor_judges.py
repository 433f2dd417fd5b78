"""The judges of one monitor: its human labels read, and every judge that there are labels or anchors for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from shared.core.errors import SourceError
from shared.core.human_labels import AnchorStore
from shared.core.ports import LabelSource
from shared.core.records import DatasetItem
from shared.core.registry import hint
from shared.core.results import Stream
from shared.core.state.run_stores import StateReader
from shared.report.judges.collect_judges import collect_judges
from shared.report.records.judge_records import JudgeOptions, Judges, JudgeView
from shared.scoring.statistics.label_votes import HumanVerdicts, settle_labels


@dataclass(frozen=True, slots=True)
class MonitorJudges:
    """What is needed of a monitor to compare its judges with people. `anchor_stream` is what passes over the anchors
    are kept under, None where there is no anchor set; `own_id` gives the id that labels know a stored item by.
    """

    sources: tuple[LabelSource, ...]
    options: JudgeOptions
    anchor_stream: Stream | None
    own_id: Callable[[DatasetItem], str]

    def read_labels(self) -> tuple[dict[str, HumanVerdicts], tuple[str, ...]]:
        """Human labels by metric name, and notes about them.

        Raises:
            SourceError: when a label source cannot be read.
        """
        found = [(source.name, [*source.labels()]) for source in self.sources]
        people = settle_labels(label for _, labels in found for label in labels)
        known, clean = self.options.versions, self.options.cleaner.redact
        notes = [
            f"labels for {clean(claim)!r}, which no metric of this monitor is called. {hint(claim, known)}"
            for claim in people
            if claim not in known and not _is_part(claim, known)
        ]
        notes += [f"{clean(name)}: there are no labels in it" for name, labels in found if not labels]
        return people, tuple(notes)

    def collect(
        self, reader: StateReader, anchors: AnchorStore | None, people: Mapping[str, HumanVerdicts], stream: Stream
    ) -> tuple[JudgeView, ...]:
        """Every judge of the monitor, now or once, that there are labels or anchors for. Labels for what never was a
        metric are in the notes of `read_labels`, and any text may stand there.

        Raises:
            StoreError: when what is stored cannot be read.
        """
        passes = anchors.passes(self.anchor_stream) if anchors is not None and self.anchor_stream is not None else []
        views = collect_judges(reader, stream, people, self.options, passes, self.own_id)
        known = self.options.versions
        return tuple(view for view in views if view.maker or view.label in known or _is_part(view.label, known))

    def try_collect(self, reader: StateReader, anchors: AnchorStore | None, stream: Stream) -> Judges:
        """The judges for the report of a run; labels that cannot be read are a note and fail nothing.

        Raises:
            StoreError: when what is stored cannot be read.
        """
        if not self.sources and self.anchor_stream is None:
            return Judges()
        try:
            people, notes = self.read_labels()
        except SourceError as error:
            why = self.options.cleaner.redact(str(error))
            return Judges(notes=(f"human labels are skipped, as they cannot be read: {why}",))
        return Judges(self.collect(reader, anchors, people, stream), notes)


def _is_part(claim: str, known: Iterable[str]) -> bool:
    """Whether it may be the name of a sub-metric, `Label_part`."""
    return any(claim.startswith(f"{label}_") for label in known)
