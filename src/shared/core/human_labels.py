"""People's verdicts; what became of the anchor set each time it was judged, and the port of what keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from shared.core.records import DatasetItem
from shared.core.results import MetricRef, Stream


class HumanLabel(NamedTuple):
    """A human annotator's label of one item. `claim` is the name of the metric that claims the same.

    `value` is in [0, 1]: 1 the claim holds (the metric should pass), 0 it does not, values between them how sure the
    annotator is. `at` is None where the time is unknown; `who` is empty where annotators are not distinguished.
    """

    item_id: str
    claim: str
    value: float
    at: datetime | None = None
    who: str = ""


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """The frozen items, their labels by claim and item id (values in [0, 1]), and the SHA-256 of their file."""

    digest: str
    items: tuple[DatasetItem, ...]
    labels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


AnchorReason = Literal["first", "judge changed", "anchors changed", "schedule"]
"""Why an anchor set was judged."""


class AnchorVerdict(NamedTuple):
    """What the judge said of one anchor item in its `repeat`-th vote (from 0).

    `people` is the label in the file, None without one. A vote that failed has its kind in `failure` and no value;
    one for which the metric did not apply has neither.
    """

    item_id: str
    repeat: int
    value: float | None
    passed: bool | None
    people: float | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class AnchorPass:
    """One metric's votes on the whole anchor set. `anchors` is the SHA-256 of the set's file, `run_id` the run after
    which it was judged, `cost` in US dollars, `threshold` the one that verdicts were given by.
    """

    stream: Stream
    metric: MetricRef
    anchors: str
    judged_at: datetime
    reason: AnchorReason
    run_id: str
    verdicts: tuple[AnchorVerdict, ...]
    cost: float | None = None
    threshold: float | None = None


class AnchorStore(Protocol):
    """Passes over the anchor set. Everything is durable when a method returns."""

    def add(self, judged: AnchorPass) -> None:
        """Keep a pass whole, in one transaction; the same pass a second time changes nothing."""

    def passes(self, stream: Stream, label: str | None = None) -> list[AnchorPass]:
        """All passes of a stream, or of one metric's label in it, oldest first."""
