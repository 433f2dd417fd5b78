"""The history of an anchor set, and what moved between its last two passes: the judge, or the application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from shared.core.human_labels import AnchorPass, AnchorVerdict
from shared.report.records.judge_records import AnchorPoint, AnchorView, VersionKey
from shared.scoring.statistics.agreement import Interval, measure_agreement, share_interval
from shared.scoring.statistics.stability import VoteStability, interval_difference, measure_stability, paired_change

Window = Callable[[VersionKey, str, datetime | None], Interval | None]
"""The pass rate of the traffic that one version of a metric judged from the beginning of a run until a moment."""


def anchor_view(passes: Sequence[AnchorPass], window: Window) -> AnchorView:
    """The view of one metric's passes (one or more, oldest first)."""
    points = tuple(map(_anchor_point, passes))
    last = passes[-1]
    if len(passes) < 2 or passes[-2].anchors != last.anchors:
        return AnchorView(points, votes=_votes(last), set_changed=len(passes) > 1)
    before = passes[-2]
    judge = paired_change(_first_votes(before), _first_votes(last))
    # The traffic of a pass is that of its run, which judges first. That of the runs between two passes says nothing,
    # for the judge may have moved behind its name at any time between them.
    old = window((before.metric.digest, before.threshold), before.run_id, before.judged_at)
    new = window((last.metric.digest, last.threshold), last.run_id, None)
    traffic = None if old is None or new is None else interval_difference(new, old)
    application = None if traffic is None or judge is None else interval_difference(traffic, judge.moved)
    return AnchorView(points, judge, traffic, application, _votes(last))


def _first_verdicts(judged: AnchorPass) -> list[AnchorVerdict]:
    return [each for each in judged.verdicts if each.repeat == 0]


def _first_votes(judged: AnchorPass) -> dict[str, bool]:
    return {each.item_id: each.passed for each in _first_verdicts(judged) if each.passed is not None}


def _anchor_point(judged: AnchorPass) -> AnchorPoint:
    said = [each for each in _first_verdicts(judged) if each.passed is not None]
    both = [each for each in said if each.people is not None and each.people != 0.5]
    found = measure_agreement([bool(each.passed) for each in both], [(each.people or 0.0) > 0.5 for each in both])
    return AnchorPoint(
        at=judged.judged_at,
        reason=judged.reason,
        maker=f"{judged.metric.name} {judged.metric.version}".strip(),
        digest=judged.metric.digest[:12],
        threshold=judged.threshold,
        anchors=judged.anchors[:12],
        n=len(said),
        failed=sum(bool(each.failure) for each in judged.verdicts),
        passes=share_interval([float(bool(each.passed)) for each in said], [0.5] * len(said)) if said else None,
        labelled=len(both),
        agreement=found.agreement if found else None,
        kappa=found.kappa if found else None,
    )


def _votes(judged: AnchorPass) -> VoteStability | None:
    passed: dict[str, list[bool]] = {}
    values: dict[str, list[float]] = {}
    for each in judged.verdicts:
        if each.value is not None:
            values.setdefault(each.item_id, []).append(each.value)
        if each.passed is not None:
            passed.setdefault(each.item_id, []).append(each.passed)
    return measure_stability(list(passed.values()), list(values.values()))
