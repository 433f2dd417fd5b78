"""`trueline judge-report`: how far each judge of a monitor can be trusted."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from shared.core.digests import plain
from shared.core.errors import UsageError
from shared.report.judge_records import Judges
from shared.report.judge_text import judges_text
from shared.wiring.build import Built
from shared.wiring.judges import judge_views, read_people
from shared.wiring.pages import newest_run


def print_judges(built: Built, as_json: bool) -> int:
    """Print the report; 0 also where there is nothing to say yet, which is said.

    Raises:
        UsageError: when the configuration names neither labels nor anchors, or the monitor has never run.
        SourceError: when labels cannot be read.
    """
    if not built.labelling.sources and built.config.anchors is None:
        raise UsageError(
            f"{built.document.name} has no people's verdicts to hold judges to; add "
            "`labels: {type: file, path: ...}` (columns item_id, label, value) or `anchors: {path: ...}`"
        )
    if not built.store.exists(built.around.root):
        raise UsageError(f"{built.store.shown(built.around.root)}: there is no state yet; run the monitor first")
    people, notes = read_people(built)
    opened = built.store.open(built.around.root)
    try:
        stream = built.plan.stream if not built.plan.one_off else newest_run(opened.reader, built.plan).stream
        judges = Judges(judge_views(built, opened.reader, opened.anchors, people, stream), notes)
    finally:
        opened.close()
    print(json.dumps(_values(judges), ensure_ascii=False, indent=2) if as_json else _text(built, judges), end="")
    return 0


def _text(built: Built, judges: Judges) -> str:
    sources = ", ".join(source.name for source in built.labelling.sources) or "no labels, anchors only"
    head = f"Judges against people: {built.config.name}, {sources}\n"
    notes = "".join(f"! {note}\n" for note in judges.notes)
    if not judges.views:
        return (
            f"{head}{notes}There are no labels in it and no anchors were judged yet, so there is nothing to compare.\n"
        )
    return f"{head}{notes}\n{judges_text(judges.views)}"


def _values(value: Any) -> Any:
    """As JSON can hold it: every record with the names of its parts, NaN and infinity as null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _values(inner) for key, inner in value._asdict().items()}
    if dataclasses.is_dataclass(value):
        return {each.name: _values(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else plain(value)
