"""`trueline publish`: what is left of a monitor's scores brought to its sinks, without reading or scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.core.errors import UsageError
from shared.core.results import RunReport, Stream
from shared.monitoring.memory_store import NoScoredItems
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publisher import Publisher, PublishResult, closing_sinks, publish_pending
from shared.report.text.delivery_words import published_lines
from shared.report.text.mask import told
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.build_stores import OpenStores
from shared.wiring.commands.stored_state import json_values, print_json, print_text, stored_state
from shared.wiring.run.job import run_until_done

_PAST = 100
"""Runs whose streams are looked at: those without memory have one each."""


def publish(built: BuiltMonitor, failed: bool, only_list: bool, in_json: bool) -> int:
    """Publish what is left, or only list it; 1 when something required still waits or has failed.

    Raises:
        UsageError: when there is no state yet, or no sink.
    """
    if not built.sinks:
        raise UsageError(f"{built.config.document.name}: `publishing` names no sink, so nothing waits for one")
    with stored_state(built) as opened:
        work = _work(built, opened)
        if only_list:
            rests = [Publisher(plan, ports, run).result() for plan, ports, run in work]
        else:
            rests = run_until_done(_published(built, work, failed))
    notes = [note if built.redactor is None else built.redactor.redact(note) for rest in rests for note in rest.notes]
    if in_json:
        print_json({"streams": [_values(built, rest) for rest in rests], "notes": notes})
    else:
        print_text("\n".join([*_lines(built, rests, only_list), *(f"! {told(note, 600)}" for note in notes)]) + "\n")
    return 0 if all(rest.all_there for rest in rests) else 1


async def _published(
    built: BuiltMonitor, work: Sequence[tuple[MonitorPlan, Ports, RunReport]], failed: bool
) -> list[PublishResult]:
    async with closing_sinks(built.sinks):
        return [await publish_pending(plan, ports, run, failed) for plan, ports, run in work]


def _work(built: BuiltMonitor, opened: OpenStores) -> list[tuple[MonitorPlan, Ports, RunReport]]:
    """The monitor's own stream and those of its runs without memory, each with its newest run."""
    newest: dict[Stream, RunReport] = {}
    for run in opened.reader.runs(built.plan.name, _PAST):
        if run.stream.source_key == built.plan.stream.source_key:
            newest.setdefault(run.stream, run)
    remembered = Stream(built.plan.stream.source_key, built.plan.name)
    return [
        (
            replace(built.plan, stream=stream, one_off=stream != remembered),
            Ports(opened.scored if stream == remembered else NoScoredItems(), opened.runs, built.sinks),
            run,
        )
        for stream, run in newest.items()
    ]


def _lines(built: BuiltMonitor, rests: Sequence[PublishResult], only_list: bool) -> list[str]:
    lines = []
    for rest in rests:
        busy = rest.marked or any(each.verified or each.sent or each.pending for each in rest.published)
        if busy or rest.notes or len(rests) == 1:
            marked = "" if only_list else f": {rest.marked:,} item(s) marked"
            lines += [f"{rest.stream}{marked}", *_cleaned(built, rest)]
    return lines or [f"nothing waits, in {len(rests):,} stream(s)"]


def _cleaned(built: BuiltMonitor, rest: PublishResult) -> list[str]:
    lines = published_lines(rest.published)
    return lines if built.redactor is None else [built.redactor.redact(each) for each in lines]


def _values(built: BuiltMonitor, rest: PublishResult) -> dict[str, object]:
    published = rest.published
    if built.redactor is not None:
        clean = built.redactor.redact
        published = tuple(
            replace(each, reasons={clean(why): n for why, n in each.reasons.items()}) for each in published
        )
    return {"stream": str(rest.stream), "marked": rest.marked, "published": json_values(published)}
