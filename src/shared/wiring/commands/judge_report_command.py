"""`trueline judge-report`: how far each judge of a monitor can be trusted."""

from __future__ import annotations

import json

from shared.core.errors import UsageError
from shared.report.judges.judge_text import judges_text
from shared.report.records.judge_records import Judges
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.commands.report_page import find_newest_run
from shared.wiring.commands.stored_state import json_values
from shared.wiring.run.judge_drift import collect_judge_views, read_human_labels


def print_judges(built: BuiltMonitor, as_json: bool) -> int:
    """Print the report; 0 also where there is nothing to say yet, which is said.

    Raises:
        UsageError: when the configuration names neither labels nor anchors, or the monitor has never run.
        SourceError: when labels cannot be read.
    """
    if not built.labels.sources and built.config.values.anchors is None:
        raise UsageError(
            f"{built.config.document.name} has no people's verdicts to hold judges to; add "
            "`labels: {type: file, path: ...}` (columns item_id, label, value) or `anchors: {path: ...}`"
        )
    if not built.state.exists():
        raise UsageError(f"{built.state}: there is no state yet; run the monitor first")
    people, notes = read_human_labels(built)
    opened = built.state.open_to_read()
    try:
        stream = built.plan.stream if not built.plan.one_off else find_newest_run(opened.reader, built.plan).stream
        judges = Judges(collect_judge_views(built, opened.reader, opened.anchors, people, stream), notes)
    finally:
        opened.close()
    print(json.dumps(json_values(judges), ensure_ascii=False, indent=2) if as_json else _text(built, judges), end="")
    return 0


def _text(built: BuiltMonitor, judges: Judges) -> str:
    sources = ", ".join(source.name for source in built.labels.sources) or "no labels, anchors only"
    head = f"Judges against people: {built.config.values.name}, {sources}\n"
    notes = "".join(f"! {note}\n" for note in judges.notes)
    if not judges.views:
        return (
            f"{head}{notes}There are no labels in it and no anchors were judged yet, so there is nothing to compare.\n"
        )
    return f"{head}{notes}\n{judges_text(judges.views)}"
