"""Judges against people: reads labels and stored scores together, and has the anchor set judged again after a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.core.clock import Clock
from shared.core.errors import BusyError, ConfigError, FatalError, SourceError
from shared.core.human_labels import AnchorStore
from shared.core.registry import hint
from shared.core.results import RunReport, Stream
from shared.core.state.run_stores import StateReader
from shared.files.anchor_file import read_anchors
from shared.monitoring.anchor_set import AnchorPlan, AnchorSet, judge_anchors
from shared.monitoring.plan import RunProgress
from shared.report.judges.collect_judges import collect_judges
from shared.report.records.judge_records import JudgeOptions, Judges, JudgeView, VersionKey
from shared.scoring.statistics.label_votes import HumanVerdicts, settle_labels

if TYPE_CHECKING:
    from shared.wiring.build.build_monitor import BuiltMonitor
    from shared.wiring.build.build_stores import OpenStores


def read_human_labels(built: BuiltMonitor) -> tuple[dict[str, HumanVerdicts], tuple[str, ...]]:
    """People's verdicts by claim, and what the user must be told of them.

    Raises:
        SourceError: when a label source cannot be read.
    """
    found = [(source.name, [*source.labels()]) for source in built.labels.sources]
    people = settle_labels(label for _, labels in found for label in labels)
    known = {*built.config.values.metrics_config, *(node.label for node in built.nodes)}
    strangers = [claim for claim in people if claim not in known and not _is_part(claim, known)]
    notes = [
        f"labels for {_clean(built, claim)!r}, which no metric of this monitor is called. {hint(claim, known)}"
        for claim in strangers
    ]
    notes += [f"{_clean(built, name)}: there are no labels in it" for name, labels in found if not labels]
    return people, tuple(notes)


def _clean(built: BuiltMonitor, text: str) -> str:
    """A text from a label file as it may be shown."""
    return built.redactor.redact(text)


def _is_part(claim: str, known: set[str]) -> bool:
    """Whether it may be the label of a sub-metric, `Label_part`."""
    return any(claim.startswith(f"{label}_") for label in known)


def collect_judge_views(
    built: BuiltMonitor,
    reader: StateReader,
    anchors: AnchorStore | None,
    people: Mapping[str, HumanVerdicts],
    stream: Stream,
) -> tuple[JudgeView, ...]:
    """Every judge of the monitor, now or once, that there are labels or anchors for. Labels for what never was a metric
    have been told by `read_human_labels`, and any text may stand there.

    Raises:
        StoreError: when what is stored cannot be read.
    """
    versions: dict[str, VersionKey] = {each.label: (each.ref.digest, each.threshold) for each in built.metrics}
    options = JudgeOptions(
        chosen=built.labels.chosen,
        versions=versions | {node.label: (node.digest, node.threshold) for node in built.nodes},
        aggregates=built.plan.aggregates,
        show_text=built.shows_texts,
        cleaner=built.redactor,
    )
    passes = anchors.passes(anchor_stream(built)) if anchors is not None and built.config.values.anchors else []
    views = collect_judges(reader, stream, people, options, passes, built.plan.again.lot)
    known = set(options.versions)
    return tuple(view for view in views if view.maker or view.label in known or _is_part(view.label, known))


def try_judge_views(built: BuiltMonitor, reader: StateReader, anchors: AnchorStore | None, stream: Stream) -> Judges:
    """The judges for the report of a run; labels that cannot be read are said and fail nothing.

    Raises:
        StoreError: when what is stored cannot be read.
    """
    if not built.labels.sources and built.config.values.anchors is None:
        return Judges()
    try:
        people, notes = read_human_labels(built)
    except SourceError as error:
        return Judges(notes=(f"people's labels are left out: {_clean(built, str(error))}",))
    return Judges(collect_judge_views(built, reader, anchors, people, stream), notes)


def anchor_stream(built: BuiltMonitor) -> Stream:
    """What passes over the anchors are kept under: the monitor's own stream, also where runs have one each."""
    return Stream(built.plan.stream.source_key, built.config.values.name)


async def judge_anchors_if_due(
    built: BuiltMonitor, opened: OpenStores, report: RunReport, clock: Clock, progress: RunProgress | None
) -> tuple[str, ...]:
    """Have the anchor set judged by every metric that is due; what must be told of it. It fails no run: scores are
    stored by now."""
    block, extract = built.config.values.anchors, built.labels.extract
    one_off = built.plan.one_off and built.state.remembers
    if block is None or extract is None or one_off or report.status == "over_budget":
        return ()
    try:
        file = read_anchors(block.path, built.config.environment.root, extract)
        chosen = block.metrics or file.labels or built.config.values.metrics_config
        metrics = tuple(metric for metric in built.metrics if metric.label in chosen)
        if not metrics:
            claim = next(iter(chosen))
            known = hint(claim, built.config.values.metrics_config)
            return (
                f"the anchors were not judged: no metric is called {_clean(built, claim)!r}, as their labels. {known}",
            )
        plan = AnchorPlan(
            anchor_stream(built),
            AnchorSet(file.digest, file.items, file.labels),
            metrics,
            block.interval,
            block.repeats,
            built.plan.runner.options,
        )
        with opened.state.claims.lock(plan.stream, 0.0):
            return await judge_anchors(plan, opened.anchors, report.run_id, clock, progress)
    except BusyError:
        return ("the anchors were not judged: another run of this monitor is at work",)
    except (ConfigError, FatalError) as error:
        return (f"the anchors were not judged: {error}",)
