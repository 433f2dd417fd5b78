"""The blocks `labels` and `anchors`: where human labels come from, and the frozen set that judges are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from shared.core.ports import LabelSource
from shared.core.records import DatasetItem
from shared.core.registry import hint
from shared.report.records.judge_records import Chosen
from shared.wiring.build.construct_part import check_part, construct_part, resolve_part, split_keys
from shared.wiring.config.checker import Checker
from shared.wiring.config.labels_config import LabelsCommon
from shared.wiring.config.monitor_config import MonitorConfig
from shared.wiring.config.registries import Registries


@dataclass(frozen=True, slots=True)
class LabelSources:
    """Label sources, how the labelled items were chosen, and what makes items of the anchor file's records."""

    sources: tuple[LabelSource, ...] = ()
    chosen: Chosen = "at_random"
    extract: Callable[[Any], DatasetItem] | None = None


def build_label_sources(config: MonitorConfig, registries: Registries, checker: Checker, root: Path) -> LabelSources:
    """What the two blocks ask for; mistakes are noted in `checker`."""
    given = config.labels
    blocks = [] if given is None else given if isinstance(given, list) else [given]
    sources: list[LabelSource] = []
    ways: list[Chosen] = []
    for i, block in enumerate(blocks):
        where: tuple[str | int, ...] = ("labels", i) if isinstance(given, list) else ("labels",)
        common, own = split_keys(block, LabelsCommon)
        checked = checker.model(LabelsCommon, common, where)
        target = resolve_part(checker, registries.labels, block, where)
        if checked is None or target is None:
            continue
        ways.append(checked.chosen)
        part = check_part(checker, target, own, where)
        source = None if part is None else construct_part(checker, part, where, root)
        if source is not None:
            sources.append(cast(LabelSource, source))
    if len(set(ways)) > 1:
        found = " and ".join(sorted(set(ways)))
        checker.problem(("labels",), f"found chosen: {found}; labels chosen in different ways cannot be taken together")
    return LabelSources(tuple(sources), ways[0] if ways else "at_random", _extractor(config, registries, checker))


def _extractor(config: MonitorConfig, registries: Registries, checker: Checker) -> Callable[[Any], DatasetItem] | None:
    anchors = config.anchors
    if anchors is None:
        return None
    for i, label in enumerate(anchors.metrics):
        if label not in config.metrics_config:
            known = hint(label, config.metrics_config)
            checker.problem(("anchors", "metrics", i), f"unknown label {label!r}. {known}")
    extract = checker.resolve(registries.extractors, anchors.extractor, ("anchors", "extractor"))
    if extract is not None and not callable(extract):
        checker.problem(("anchors", "extractor"), f"{anchors.extractor!r} cannot be called")
        return None
    found: Callable[[Any], DatasetItem] | None = extract
    return found
