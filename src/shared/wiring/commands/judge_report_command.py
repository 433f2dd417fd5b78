"""`trueline judge-report`: how far each judge of a monitor can be trusted."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from shared.core.errors import UsageError
from shared.core.ports import LabelSource
from shared.report.judges.judge_text import judges_text
from shared.report.records.judge_records import Judges
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.report_page import find_newest_run, monitor_judges
from shared.wiring.commands.stored_state import json_values, open_stored_state, print_json, print_text, require_state


def main(options: Namespace) -> int:
    """Print how far each judge can be trusted; 0 also where there is nothing to compare yet."""
    built = open_monitor(options)
    if not built.labels.sources and built.config.values.anchors is None:
        raise UsageError(
            f"{built.config.document.name} has no human labels to compare judges with; add "
            "`labels: {type: file, path: ...}` (columns item_id, metric, value) or `anchors: {path: ...}`"
        )
    require_state(built.state)
    compared = monitor_judges(built)
    people, notes = compared.read_labels()
    with open_stored_state(built.state) as stores:
        stream = built.plan.stream if not built.plan.one_off else find_newest_run(stores.reader.runs, built.plan).stream
        judges = Judges(compared.collect(stores.reader, stores.anchors, people, stream), notes)
    if options.json:
        values = json_values(judges)
        for view in values["views"]:
            view.update(view.pop("rate"), **view.pop("labels"))  # as users know them: side by side
        print_json(values)
    else:
        print_text(_judges_text(built.config.values.name, built.labels.sources, judges))
    return 0


def _judges_text(monitor: str, labels: Sequence[LabelSource], judges: Judges) -> str:
    sources = ", ".join(source.name for source in labels) or "no labels, anchors only"
    head = f"Judges compared with human labels: {monitor}, {sources}\n"
    notes = "".join(f"! {note}\n" for note in judges.notes)
    if not judges.views:
        return (
            f"{head}{notes}There are no labels in it and no anchors were judged yet, so there is nothing to compare.\n"
        )
    return f"{head}{notes}\n{judges_text(judges.views)}"
