"""What is shown of a judge against human labels. Every record is immutable and small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.core.human_labels import AnchorReason
from shared.privacy.redaction import TextCleaner
from shared.privacy.secret_gate import SecretGate
from shared.report.text.formatting import Text
from shared.scoring.statistics.agreement import Agreement, Interval
from shared.scoring.statistics.corrected_rates import CorrectedRate
from shared.scoring.statistics.stability import PassRateChange, VoteStability

Chosen = Literal["at_random", "by_verdict", "elsewhere"]
"""How the labelled items were chosen: a random part of the judged ones; by what the judge said of them; in some other
way, such as a test set with a mix of its own."""

Method = Literal["people alone", "PPI++", "by verdict", "Rogan-Gladen"]


VersionKey = tuple[str, float | None]
"""What makes two verdicts comparable: the metric's digest, and the threshold that they were given by."""


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """How to look at judges. `versions` are the metrics' as configured now, by label. `aggregates` False says that the
    items' probabilities cannot be used. `show_text` and `cleaner` are those of `ReportOptions`.
    """

    chosen: Chosen = "at_random"
    versions: Mapping[str, VersionKey] = field(default_factory=dict)
    aggregates: bool = True
    show_text: bool = True
    cleaner: TextCleaner = field(default_factory=SecretGate)
    disagreements: int = 20
    text_limit: int = 400


@dataclass(frozen=True, slots=True)
class JudgeVersion:
    """One version of a judge among the stored scores, and how many items it judged."""

    maker: str
    digest: str
    threshold: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A pass rate by one method; `found` None where the method cannot be used, and `why` says why."""

    method: Method
    found: CorrectedRate | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class LabelsNeeded:
    """Labels needed in all for an interval of +-`half_width`; None where the judged items are too few for it."""

    half_width: float
    labels: int | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An item that judge and human annotators see differently."""

    item_id: str
    judge: bool
    people: bool
    value: float
    explanation: Text
    query: Text | None
    answer: Text | None


@dataclass(frozen=True, slots=True)
class AnchorPoint:
    """One pass over the anchor set: the judge's first votes, and how they agree with the set's labels."""

    at: datetime
    reason: AnchorReason
    maker: str
    digest: str
    threshold: float | None
    anchors: str
    n: int
    failed: int
    passes: Interval | None
    labelled: int
    agreement: Interval | None
    kappa: Interval | None


@dataclass(frozen=True, slots=True)
class AnchorView:
    """The anchor set's history, oldest first, and what moved between its last two passes over the same set.

    `judge` is the change on the anchors, `traffic` that of the pass rate of the traffic as judged, and `application`
    their difference: what is left when the judge's own move is taken away. `votes` are those of the last pass.
    """

    points: tuple[AnchorPoint, ...]
    judge: PassRateChange | None = None
    traffic: Interval | None = None
    application: Interval | None = None
    votes: VoteStability | None = None
    set_changed: bool = False


@dataclass(frozen=True, slots=True)
class PassRate:
    """The pass rate as judged (`passes`), by each method of correction, and what narrows its interval. `trusted` is the
    method to go by, None where none can be; `why` says why in words.
    """

    passes: Interval | None
    corrections: tuple[Correction, ...]
    trusted: Method | None
    why: str
    needs: tuple[LabelsNeeded, ...]

    @property
    def best(self) -> CorrectedRate | None:
        """The pass rate to go by."""
        return next((each.found for each in self.corrections if each.method == self.trusted), None)


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Human labels: `unscored` on items without a verdict of this version, `undecided` items on which annotators are
    split, `several` items with more than one label and the annotators' agreement on them.
    """

    unscored: int
    undecided: int
    several: int
    people_kappa: Interval | None


@dataclass(frozen=True, slots=True)
class JudgeView:
    """One metric that has human labels, or is asked about anchors.

    `judged` items have a verdict of this version, `labelled` of them also a human label. `current` says that it is the
    version configured now.
    """

    label: str
    maker: str
    digest: str
    threshold: float | None
    others: tuple[JudgeVersion, ...]
    judged: int
    labelled: int
    labels: LabelCounts
    agreement: Agreement | None
    rate: PassRate
    disagreements: tuple[Disagreement, ...]
    more_disagreements: int = 0
    anchors: AnchorView | None = None
    current: bool = True


@dataclass(frozen=True, slots=True)
class Judges:
    """Every judge of a monitor, and notes on labels and anchors."""

    views: tuple[JudgeView, ...] = ()
    notes: tuple[str, ...] = ()
