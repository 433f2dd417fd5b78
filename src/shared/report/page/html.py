"""The page: one self-contained file that loads nothing, and runs nothing but the few lines of `report.js`."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shared.core.counts import by_level
from shared.core.errors import StoreError
from shared.core.private_files import create_private_file, make_private_folder
from shared.report.judges import judge_text
from shared.report.page import charts, timeline
from shared.report.page.svg import Html
from shared.report.records.judge_records import Judges
from shared.report.records.page_records import MetricView, ReportData
from shared.report.text import formatting, result_words
from shared.report.text.change_words import change_sentence, format_shift
from shared.scoring.gates import check_targets
from shared.scoring.statistics.changes import MetricChange
from shared.scoring.statistics.segments import SegmentEstimate


def render(data: ReportData, judges: Judges | None = None) -> str:
    """The whole page. All but our own template and charts is escaped, and cleaned of control characters."""
    import jinja2  # late: importing the house must stay light

    environment = jinja2.Environment(
        loader=jinja2.DictLoader({name: _resource(name) for name in ("report.html.j2", "judges.html.j2")}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_filters())
    css, script = _resource("report.css"), _resource("report.js")
    counted = result_words.counts_of(data.run)
    sinks = [(each, result_words.counts_at(each)) for each in data.run.published]
    ends = timeline.first_and_last_day(data.metrics)
    return environment.get_template("report.html.j2").render(
        data=data,
        judges=judges or Judges(),
        run=data.run,
        notes=by_level(data.run.notes),
        css=Html(css),
        script=Html(script),
        policy=f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; base-uri 'none';"
        " form-action 'none'",
        change="" if data.changes is None else change_sentence(data.changes),
        changes={each.label: each for each in data.changes or ()},
        targets=check_targets(data.gates),
        missed=[each.sentence for each in data.gates if not each.passed],
        sparks={each.label: drawn for each in data.metrics if (drawn := timeline.draw_sparkline(each)) is not None},
        worries=any(worry for _, _, worry in counted) or any(worry for _, found in sinks for _, _, worry in found),
        status=result_words.STATUS[data.run.status],
        verdict=result_words.result_sentence(data.run),
        counts=counted,
        sinks=sinks,
        problems=result_words.problem_counts(data.run),
        kinds=result_words.KIND_WORDS,
        judged=[each for each in data.metrics if each.distribution or data.run.estimates],
        rates=charts.pass_rates(data.metrics),
        distributions=_draw_charts(data, charts.distribution),
        lines=_draw_charts(data, partial(timeline.draw_timeline, ends=ends)) if ends else (),
        days=ends,
        paid=result_words.sum_usage(data.run.spending.usage),
        unpriced=result_words.has_unpriced(data.run.spending.usage),
    )


def write_report(data: ReportData, path: Path, judges: Judges | None = None) -> None:
    """Render the page into `path`: whoever reads it sees the old page or the new one, never half of one.

    Raises:
        StoreError: when the file cannot be written; what stood there before still does.
    """
    page = render(data, judges).encode("utf-8")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        make_private_folder(path.parent)
        try:
            create_private_file(beside)
            with beside.open("wb") as file:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write the report {str(path)!r}: {error.strerror or error}") from error


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _visible(value: object) -> object:
    return formatting.clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _resource(name: str) -> str:
    return resources.files("shared.report.page").joinpath(name).read_text(encoding="utf-8")


def _draw_charts(data: ReportData, draw: Callable[[MetricView], Html | None]) -> list[tuple[MetricView, Html]]:
    return [(each, chart) for each in data.metrics if (chart := draw(each)) is not None]


def _filters() -> Mapping[str, Callable[..., Any]]:
    def minus(shown: str) -> str:
        return shown.replace("-", "−")

    def interval(value: float | None, low: float | None, high: float | None, scale: float = 1.0) -> tuple[str, str]:
        shown, bounds = formatting.format_interval(value, low, high, scale)
        return minus(shown), minus(bounds)

    def number(value: float | None) -> str:
        return minus(formatting.format_number(value))

    def difference(found: MetricChange | SegmentEstimate) -> tuple[str, str]:
        if found.difference is None:
            return "", ""
        value, _, bounds = minus(format_shift(found.difference, found.quantity)).partition(" ")
        return value, bounds

    def trace_link(trace_id: str, url: str | None) -> str | None:
        return None if url is None else url.replace("{trace_id}", quote(trace_id, safe=""))

    return {
        "difference": difference,
        "trace_link": trace_link,
        "number": number,
        "bounded": interval,
        "percent": formatting.format_percent,
        "probability": formatting.format_probability,
        "duration": formatting.format_duration,
        "moment": formatting.format_time,
        "dollars": formatting.format_dollars,
        "line": formatting.line,
        "budget": result_words.budget_words,
        "threshold": charts.threshold_words,
        "rate": lambda found: minus(judge_text.rate_words(found)),
        "figure": lambda found: minus(judge_text.figure_words(found)),
        "change": lambda found: minus(judge_text.change_words(found)),
        "version": judge_text.version_words,
        "method": judge_text.method_words,
        "needs": judge_text.need_words,
        "among": lambda view: minus(judge_text.people_words(view)),
        "moves": lambda found: [minus(each) for each in judge_text.anchor_change_lines(found)],
    }
