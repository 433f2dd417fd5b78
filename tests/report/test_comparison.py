"""Two stored runs beside one another, over a reader in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.results import MetricRef, RunReport, StoredResult, Stream
from shared.report.comparison.compare_runs import Comparison, compare_runs
from shared.report.comparison.comparison_text import comparison_text
from tests.report.memory import MemoryReader, Row
from tests.report.samples import STREAM, result, run_of, score

ALONE = Stream(STREAM.source_key, f"{STREAM.monitor_key}@20260309T060000.000000")


def compared(before: Sequence[StoredResult], after: Sequence[StoredResult]) -> Comparison:
    one = run_of(before, run_id="run-a")
    other = run_of(after, run_id="run-b", stream=ALONE, started_at=one.started_at + timedelta(hours=1))
    rows = [Row("run-a", each) for each in before] + [Row("run-b", each) for each in after]
    return compare_runs(MemoryReader([one, other], rows), one, other)


def renamed(found: StoredResult, item_id: str) -> StoredResult:
    return found._replace(item=replace(found.item, id=item_id))


def test_each_metric_is_compared_on_the_items_of_both() -> None:
    """Lower is better for an inverse metric; verdicts of 0 and 1 are tested once; counts are of items."""
    before = [result(n, [score("exact", 0.0), score("latency", 2.0 + n)]) for n in range(12)]
    after = [result(n, [score("exact", float(n > 3)), score("latency", 1.0 + n)]) for n in range(2, 14)]
    estimates = tuple(replace(each, inverse=each.label == "latency") for each in run_of(before).estimates)
    rows = [Row("run-a", each) for each in before] + [Row("run-b", each) for each in after]
    one, other = (run_of([], run_id=each, estimates=estimates) for each in ("run-a", "run-b"))
    found = compare_runs(MemoryReader([], rows), one, other)
    assert (found.paired, found.only_before, found.only_after) == (10, 2, 2)
    assert [each.label for each in found.labels] == ["exact", "latency"]
    by_label = {each.label: each for each in found.labels}
    exact, slow = by_label["exact"], by_label["latency"]
    assert exact.values is not None and exact.passes is not None and slow.values is not None
    assert (exact.values.before, exact.values.after, exact.better, exact.worse) == (0.0, 0.8, 8, 0)
    assert (exact.verdicts, exact.adjusted[0], exact.passes.p) == (True, None, 2 / 2**8)
    assert (slow.values.difference, slow.better, slow.worse, slow.verdicts) == (-1.0, 10, 0, False)
    tests = [p for each in found.labels for p in each.adjusted if p is not None]
    assert len(tests) == 3
    assert slow.adjusted[0] == pytest.approx(3 * 2 / 2**10)


def test_versions_of_an_item_are_the_item() -> None:
    """Where a metric's change scores items again they have other ids in stored state; the source's id pairs them."""
    before = [renamed(result(n, [score("exact", 0.0)]), f"i{n}@{'a' * 16}") for n in range(5)]
    after = [renamed(result(n, [score("exact", 1.0)]), f"i{n}@{'b' * 16}") for n in range(5)]
    found = compared(before, after)
    assert found.paired == 5
    assert found.labels[0].values is not None
    assert [each.item_id for each in found.labels[0].values.most] == [f"i{n}" for n in range(5)]


def test_of_two_versions_in_one_run_the_newest_counts() -> None:
    old = renamed(result(1, [score("exact", 0.0)]), f"i@{'a' * 16}")
    new = renamed(result(1, [score("exact", 1.0)]), f"i@{'b' * 16}")
    late = new._replace(scored_at=old.scored_at + timedelta(seconds=1))
    found = compared([late, old], [result(1, [])._replace(item=replace(old.item, id="i"), scores=new.scores)])
    assert found.labels[0].values is not None
    assert (found.paired, found.labels[0].values.before) == (1, 1.0)


def test_what_one_run_could_not_score_is_counted_and_no_number_left_out() -> None:
    before = [result(0, [score("exact", 1.0)]), result(1, []), result(2, [score("exact", math.nan)])]
    after = [result(n, [score("exact", 1.0)]) for n in range(3)]
    found = compared(before, after)
    assert (found.paired, found.not_numbers) == (3, 1)
    assert (found.labels[0].only_before, found.labels[0].only_after) == (0, 1)
    text = comparison_text(found)
    assert "1 pair of scores skipped" in text and "exact: of these items 0 have a score by A only, 1 by B only" in text


def test_different_items_are_said_and_estimated_apart() -> None:
    """Nothing is paired: the runs' own estimates, with a difference whose interval is wider than both."""
    before = [result(n, [score("exact", float(n % 2))]) for n in range(40)]
    after = [result(n, [score("exact", float(n % 4 > 0))]) for n in range(40, 80)]
    found = compared(before, after)
    assert (found.paired, found.labels) == (0, ())
    (only,) = found.apart
    assert only.mean is not None
    assert only.mean.value == pytest.approx(0.25)
    assert only.mean.low < 0.25 < only.mean.high
    assert only.before.mean_high is not None and only.before.mean is not None
    assert only.mean.value - only.mean.low > only.before.mean_high - only.before.mean
    text = comparison_text(found)
    assert "No item was scored by both (40 by A, 40 by B)" in text and "--no-dedup" in text and "+0.25" in text


def test_a_metric_made_differently_is_said() -> None:
    other = MetricRef("exact", "exact", "2", "e" * 64)
    before = [result(n, [score("exact", 1.0)]) for n in range(3)]
    after = [each._replace(scores=tuple(one._replace(metric=other) for one in each.scores)) for each in before]
    text = " ".join(comparison_text(compared(before, after)).split())
    assert "! exact was made differently: exact v1 dddddddd, threshold 0.5 -> exact v2 eeeeeeee, threshold 0.5" in text


def test_unequal_chances_are_said() -> None:
    before = [result(n, [score("exact", 1.0)], probability=0.1 + n / 10) for n in range(3)]
    assert "inclusion probabilities are unequal" in " ".join(comparison_text(compared(before, before)).split())


def test_a_run_beside_itself_and_hostile_names_are_plain_text() -> None:
    run = run_of([], run_id="\x1b[31mred\x1b[0m")
    text = comparison_text(compare_runs(MemoryReader(), run, run))
    assert "A and B are one run" in text and "\x1b" not in text


def test_ids_are_shown_by_the_name_they_may_be_shown_by() -> None:
    before, after = ([result(1, [score("overlap", value)])] for value in (0.1, 0.9))
    assert "hidden 0.1 -> 0.9" in comparison_text(compared(before, after), lambda _: "hidden")


def test_an_unfinished_run_is_said() -> None:
    run: RunReport = run_of([], status="running")
    assert "A is not finished" in comparison_text(compare_runs(MemoryReader(), run, replace(run, run_id="other")))
