"""What people say of an item, from all that they said: the newest verdict of each, the majority of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.core.human_labels import HumanLabel
from shared.scoring.statistics.agreement import Interval, fleiss_kappa

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HumanVerdicts:
    """People's verdicts on one claim.

    `passed` has the verdict of every item that has one; `undecided` are items on which as many said yes as no.
    `several` counts the items that two or more people have judged, `kappa` is Fleiss' between them (None where it
    cannot be given): a judge that is to agree with people cannot be asked for much more.
    """

    passed: dict[str, bool] = field(default_factory=dict)
    undecided: frozenset[str] = frozenset()
    several: int = 0
    kappa: Interval | None = None


def settle_labels(labels: Iterable[HumanLabel]) -> dict[str, HumanVerdicts]:
    """Verdicts by claim. Of one person's several labels on an item the newest stands, of equal or missing times the
    one that came later; labels without a name count as one person's. A value above 0.5 passes, below it does not, and
    0.5 is no verdict.
    """
    newest: dict[str, dict[str, dict[str, tuple[datetime, float]]]] = {}
    for label in labels:
        people = newest.setdefault(label.claim, {}).setdefault(label.item_id, {})
        at = label.at or _LONG_AGO
        if label.who not in people or people[label.who][0] <= at:
            people[label.who] = (at, label.value)
    return {claim: _majority_verdicts(items) for claim, items in newest.items()}


def _majority_verdicts(items: dict[str, dict[str, tuple[datetime, float]]]) -> HumanVerdicts:
    passed: dict[str, bool] = {}
    undecided: set[str] = set()
    shared: list[tuple[int, int]] = []
    for item_id, people in items.items():
        values = [value for _, value in people.values() if value != 0.5]
        yes = sum(value > 0.5 for value in values)
        if 2 * yes == len(values):
            undecided.add(item_id)
        else:
            passed[item_id] = 2 * yes > len(values)
        if len(values) > 1:
            shared.append((yes, len(values)))
    kappa = fleiss_kappa([yes for yes, _ in shared], [n for _, n in shared]) if shared else None
    return HumanVerdicts(passed, frozenset(undecided), len(shared), kappa)
