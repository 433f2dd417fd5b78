from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.core.counts import BudgetUse, ModelUsage, Spending
from shared.core.results import Estimate, RunCounts, RunReport
from shared.report.terminal.run_summary import print_summary, report_json, summary
from tests.report.samples import hostile, ordinary, result, run_of, score

RUN = run_of(
    ordinary(),
    notes=("the source holds more than its limit: the oldest were not read",),
    broken=tuple(f"traces.jsonl:{n}: expected an object, found a list" for n in range(9)),
    failure_kinds={"TimeoutError": 5, "RateLimited": 1},
)
PLACES = {"report": "data/reports/desk.html", "state": "data/trueline.db"}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ascii(io.TextIOWrapper):
    """A stream that can write ASCII only, as under LANG=C."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii")

    def text(self) -> str:
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode("ascii")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """At any width nothing runs over the edge, and every metric, number and note is still there."""
    text = summary(RUN, width, places=PLACES)
    assert max(map(len, text.splitlines())) <= width
    assert all(label in text for label in ("exact", "overlap", "always", "latency", "logprob_sum", "judge"))
    assert "! the source holds more" in text and "TimeoutError" in text and "data/reports/desk.html" in text


def test_each_metric_is_one_row_where_there_is_room() -> None:
    """Label, n, mean and pass rate with their intervals, threshold and failures."""
    text = summary(RUN, 100)
    assert re.search(
        r"^exact +110 +0\.\d\d \[0\.\d\d, 0\.\d\d\] +\d\d\.\d % \[\d\d\.\d, \d\d\.\d\] +≥ 0\.5 +0$", text, re.M
    )
    assert re.search(r"^judge +0 .* 6$", text, re.M)
    assert text.count("[low, high]: 95 % confidence interval\n") == 1


def test_broken_records_are_listed_with_the_rest_counted() -> None:
    """The first five with file and line, and how many more."""
    text = summary(RUN, 100)
    assert "traces.jsonl:4:" in text and "traces.jsonl:5:" not in text and "and 4 more" in text


def test_colour_only_where_it_is_wanted() -> None:
    """Escape codes go to a terminal, never into a log, and never where NO_COLOR or a dumb terminal says no."""

    def written(stream: io.StringIO, environ: Mapping[str, str]) -> str:
        print_summary(RUN, stream, PLACES, environ)
        return stream.getvalue()

    assert "\x1b[" in written(Terminal(), {})
    assert "\x1b" not in written(Terminal(), {"NO_COLOR": "1"})
    assert "\x1b" not in written(Terminal(), {"TERM": "dumb"})
    assert "\x1b" not in written(io.StringIO(), {"FORCE_COLOR": "1"})


def test_a_stream_without_unicode_gets_ascii() -> None:
    """Under LANG=C the summary is written, with plain signs for ticks and dashes."""
    stream = Ascii()
    print_summary(RUN, stream, PLACES, {})
    assert stream.text().startswith("+ Done")


def test_nothing_new_is_one_line() -> None:
    """A run that found nothing says so and no more."""
    run = run_of([], "nothing_new", counts=RunCounts(read=40, already_scored=40))
    assert summary(run, 120) == "✓ Nothing new  desk answers: of 40 records read, 40 were processed before.\n"


def test_an_inspection_queue_has_no_numbers() -> None:
    """What was not a random sample shows its n and why nothing is estimated, wide and narrow."""
    run = run_of([result(n, [score("overlap", n / 30)], probability=None) for n in range(30)])
    for width in (50, 80, 120):
        text = " ".join(summary(run, width).split())
        assert "no estimate: not a random sample" in text and "30" in text and "%" not in text


@pytest.mark.parametrize("run", [run_of([]), run_of([result(1, [score("overlap", 0.8)])]), run_of([], "interrupted")])
def test_small_runs_have_a_summary(run: RunReport) -> None:
    """No items, one item, an interrupted run: no crash, no empty table."""
    text = summary(run, 80)
    assert "desk answers" in text and "nan" not in text
    assert ("metric" in text) == bool(run.estimates)


def test_hostile_text_cannot_drive_the_terminal() -> None:
    """Escape codes, carriage returns and turns of writing direction in labels, notes and errors are shown, not sent."""
    text = summary(hostile()[1], 80)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
    assert len(text) < 20_000


def test_json_is_the_whole_report() -> None:
    """Every field as JSON values, times in UTC, with the length of the run and the share of failures."""
    values = json.loads(json.dumps(report_json(RUN), allow_nan=False))
    assert values["counts"]["scored"] == 110 and values["seconds"] == 75.0
    assert values["counts"]["failure_share"] == pytest.approx(6 / (5 * 110 + 6))
    assert values["started_at"] == "2026-03-09T06:00:00.000000Z"
    assert [each["label"] for each in values["estimates"]] == [each.label for each in RUN.estimates]


def test_json_has_no_nan() -> None:
    """What is not a number is null, so that every reader of JSON can read it."""
    run = run_of([], estimates=(Estimate("x", 2, float("nan"), float("-inf"), 1.0),))
    assert report_json(run)["estimates"][0]["mean"] is None and report_json(run)["estimates"][0]["mean_low"] is None


@pytest.mark.parametrize("width", [40, 100])
def test_what_models_cost_is_told(width: int) -> None:
    """Calls, tokens, dollars and the share of the budget; a model without a price is said to have none."""
    rows = tuple(ModelUsage(f"metric {n}", "small", n, 2, 1, 100, 10, 20, 0.5 if n else None) for n in range(12))
    budget = (BudgetUse("tokens", "run", 3000, 1440),)
    text = " ".join(summary(replace(RUN, spending=Spending(usage=rows, budget=budget)), width).split())
    assert "models: 66 calls, 24 from cache, 12 failed; 1,200 tokens in (120 cached), 240 out; $5.50" in text
    assert (
        "metric 0 asks small: 0 calls, 2 from cache, 1 failed; 100 tokens in (10 cached), 20 out; no price is" in text
    )
    assert "and 2 more metrics and models" in text
    assert "48.0 % of the budget of 3,000 tokens a run is used" in text.replace("\u00a0", " ")


def test_items_of_another_runs_draw_are_not_called_old() -> None:
    """The other run may be at work right now."""
    run = replace(run_of(ordinary()), counts=RunCounts(read=9, drawn=4, pool=4, resumed=3, scored=7, scores=7))
    assert "7 items scored (4 sampled from 4 candidates, 3 sampled by another run); 7 scores" in summary(run, 140)
