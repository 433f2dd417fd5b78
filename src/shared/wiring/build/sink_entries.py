"""The sinks that a `publishing` block asks for, as one list: the older keys first, then the entries of `sinks`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from shared.wiring.build.build_context import SinkCommon, SinkEntry
from shared.wiring.build.construct_part import split_keys
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import DatabaseBlock, Experiment, ExperimentParams, Publishing


def sink_entries(publishing: Publishing, checker: Checker) -> tuple[SinkEntry, ...]:
    """Every sink, in the order in which sinks are shown; mistakes in the keys that all of them have are noted."""
    older = [each for each in _older_keys(publishing, checker) if each is not None]
    listed = [_listed_entry(i, block, checker) for i, block in enumerate(publishing.sinks)]
    return (*older, *(each for each in listed if each is not None))


def first_entry(entries: Sequence[SinkEntry], kind: str) -> SinkEntry | None:
    """The first sink of a kind."""
    return next((each for each in entries if each.type == kind), None)


def _listed_entry(number: int, block: Mapping[str, object], checker: Checker) -> SinkEntry | None:
    where = ("publishing", "sinks", number)
    common, own = split_keys(block, SinkCommon)
    checked = checker.model(SinkCommon, common, where)
    if checked is None:
        return None
    return SinkEntry(checked.type, own, where, where, checked.name, checked.required_if_given)


def _older_keys(publishing: Publishing, checker: Checker) -> Iterator[SinkEntry | None]:
    if publishing.files is not None:
        yield _block_entry("file", publishing.files, "files", "files", checker)
    if publishing.push_to_db:
        yield _block_entry("database", _set_keys(publishing.database, DatabaseBlock), "database", "push_to_db", checker)
    if publishing.push_to_langfuse:
        yield _block_entry("langfuse", publishing.langfuse or {}, "langfuse", "push_to_langfuse", checker)
    experiment = _asked_experiment(publishing, checker)
    if experiment is not None:
        given: dict[str, object] = {
            **_set_keys(experiment, ExperimentParams),
            "trace_experiment": publishing.trace_experiment,
        }
        if "required" in experiment.model_fields_set:
            given["required"] = experiment.required
        yield _block_entry("langfuse_experiment", given, "experiment", "experiment", checker)
    if publishing.opentelemetry is not None:
        yield _block_entry("opentelemetry", publishing.opentelemetry, "opentelemetry", "opentelemetry", checker)


def _asked_experiment(publishing: Publishing, checker: Checker) -> Experiment | None:
    """The experiment that is asked for: a block that is not switched off, or `trace_experiment` alone."""
    block, traced = publishing.experiment, publishing.trace_experiment
    if block is None:
        return Experiment() if traced else None
    if traced and not block.enabled:
        checker.problem(
            ("publishing", "trace_experiment"), "found true, and experiment.enabled false; there is nothing to trace"
        )
    return block if block.enabled else None


def _set_keys(block: BaseModel | None, params: type[BaseModel]) -> dict[str, object]:
    """What a block says itself of the sink's parameters, without its defaults."""
    said = set() if block is None else block.model_fields_set
    return {name: getattr(block, name) for name in params.model_fields if name in said}


def _block_entry(kind: str, block: Mapping[str, object], key: str, asked_by: str, checker: Checker) -> SinkEntry | None:
    where = ("publishing", key)
    common = {"type": kind, **({"required": block["required"]} if "required" in block else {})}
    checked = checker.model(SinkCommon, common, where)
    if checked is None:
        return None
    own = {name: value for name, value in block.items() if name != "required"}
    return SinkEntry(kind, own, where, ("publishing", asked_by), "", checked.required_if_given)
