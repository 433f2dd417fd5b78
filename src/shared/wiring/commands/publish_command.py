"""`trueline publish`: delivers a monitor's pending scores to its sinks, without reading or scoring."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from shared.core.counts import by_level, change_note, find_warnings
from shared.core.errors import UsageError
from shared.core.results import RunReport, Stream
from shared.monitoring.memory_store import NoScoredItems
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publishing.publisher import Publisher, PublishResult, closing_sinks, publish_pending
from shared.report.text.formatting import line
from shared.report.text.result_words import published_lines
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions
from shared.wiring.build.state_location import OpenStores
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import json_values, open_stored_state, print_json, print_text
from shared.wiring.run.interruption import run_until_done

_PAST = 100
"""Runs whose streams are looked at: those without deduplication have one each."""


def main(options: Namespace) -> int:
    """Deliver pending scores, or only list them; 1 when a required delivery is still pending or has failed."""
    if not (options.pending or options.failed or options.list):
        raise UsageError(
            "publish: give --pending (deliver pending scores), --failed (also retry failed ones) or --list (only list)"
        )
    built = open_monitor(options, RunOptions(tuple(options.overrides), publish=True))
    if not built.sinks:
        raise UsageError(f"{built.config.document.name}: `publishing` names no sink, so nothing is pending")
    with open_stored_state(built.state) as stores:
        work = _find_work(built, stores)
        if options.list:
            rests = [Publisher(each.plan, each.ports, each.run).result() for each in work]
        else:
            rests = run_until_done(_deliver(built, work, options.failed))
    clean = built.redactor.redact_message
    notes = [change_note(note, clean) for rest in rests for note in rest.notes]
    if options.json:
        print_json(
            {"streams": [_status_json(rest, clean) for rest in rests], "notes": notes, "warnings": find_warnings(notes)}
        )
    else:
        print_text(
            "\n".join(
                [
                    *_status_lines(rests, options.list, clean),
                    *(f"{sign} {line(note, 600)}" for sign, note in by_level(notes)),
                ]
            )
            + "\n"
        )
    return 0 if all(rest.all_there for rest in rests) else 1


@dataclass(frozen=True, slots=True)
class _PendingStream:
    """One stream of the monitor with its newest run, and what delivers its scores."""

    plan: MonitorPlan
    ports: Ports
    run: RunReport


async def _deliver(built: BuiltMonitor, work: Sequence[_PendingStream], failed: bool) -> list[PublishResult]:
    async with closing_sinks(built.sinks):
        return [await publish_pending(each.plan, each.ports, each.run, failed) for each in work]


def _find_work(built: BuiltMonitor, stores: OpenStores) -> list[_PendingStream]:
    """The monitor's own stream and those of its runs without deduplication, each with its newest run."""
    plan = built.plan
    newest: dict[Stream, RunReport] = {}
    for run in stores.reader.runs.newest_runs(plan.name, _PAST):
        if run.stream.source_key == plan.stream.source_key:
            newest.setdefault(run.stream, run)
    remembered = Stream(plan.stream.source_key, plan.name)
    alone: Literal["trial", "none"] = "trial" if built.state.remembers else "none"
    return [
        _PendingStream(
            replace(plan, stream=stream, history="kept" if stream == remembered else alone),
            Ports(stores.scored if stream == remembered else NoScoredItems(), stores.state, built.sinks),
            run,
        )
        for stream, run in newest.items()
    ]


def _status_lines(rests: Sequence[PublishResult], only_list: bool, clean: Callable[[str], str]) -> list[str]:
    lines = []
    for rest in rests:
        busy = rest.marked or any(each.verified or each.sent or each.pending for each in rest.published)
        if busy or rest.notes or len(rests) == 1:
            marked = "" if only_list else f": {rest.marked:,} item(s) processed"
            lines += [f"{rest.stream}{marked}", *map(clean, published_lines(rest.published))]
    return lines or [f"nothing is pending, in {len(rests):,} stream(s)"]


def _status_json(rest: PublishResult, clean: Callable[[str], str]) -> dict[str, object]:
    published = [replace(each, reasons={clean(why): n for why, n in each.reasons.items()}) for each in rest.published]
    return {"stream": str(rest.stream), "marked": rest.marked, "published": json_values(published)}
