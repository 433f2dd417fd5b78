from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from shared.core.results import RunConfig, StoredResult
from shared.report.page.collect import collect
from shared.report.records.page_records import MetricView, ReportData, ReportOptions
from tests.report.memory import MemoryReader, Row
from tests.report.samples import START, STREAM, data_of, ordinary, result, run_of, score


def view(data: ReportData, label: str) -> MetricView:
    return next(each for each in data.metrics if each.label == label)


def test_worst_items_come_from_the_bad_end() -> None:
    """Low scores are worst, unless the metric passes below its threshold: then high ones are."""
    results = [result(n, [score("overlap", n / 50), score("latency", n / 5)]) for n in range(50)]
    data = data_of(results)
    assert [item.item_id for item in view(data, "overlap").worst] == [f"item-{n}" for n in range(10)]
    assert [item.item_id for item in view(data, "latency").worst] == [f"item-{n}" for n in range(49, 39, -1)]
    assert (view(data, "overlap").direction, view(data, "latency").direction) == ("at_least", "below")


def test_of_equals_those_that_fail_more_come_first() -> None:
    """Among a hundred wrong answers the ones that other metrics dislike too are the ones to read."""
    results = [result(n, [score("exact", float(n == 0)), score("overlap", 0.1 if n == 17 else 0.9)]) for n in range(30)]
    assert view(data_of(results), "exact").worst[0].item_id == "item-17"


def test_a_constant_metric_has_no_worst() -> None:
    """When every score is the same there is nothing to rank."""
    assert view(data_of(ordinary()), "always").worst == ()


def test_only_this_run_is_shown_and_all_of_history() -> None:
    """Distributions and worst items are of the run; the days are of its stream."""
    old = [Row("run-0", each) for each in ordinary(60)]
    new = [result(100 + n, [score("exact", 1.0)]) for n in range(5)]
    run = run_of(new)
    data = collect(MemoryReader([run], old + [Row(run.run_id, each) for each in new]), run)
    distribution = view(data, "exact").distribution
    assert distribution is not None and distribution.n == 5
    assert len(view(data, "exact").days) > 10
    assert [each.label for each in data.metrics] == ["exact"]


def test_days_without_scores_are_missing_not_zero() -> None:
    """A gap in the traffic is a gap in the history."""
    days = [point.day for point in view(data_of(ordinary()), "exact").days]
    gaps = [after - before for before, after in pairwise(days)]
    assert max(gaps) >= timedelta(days=3)


def test_history_is_weighted_with_an_interval() -> None:
    """A day's mean counts each score for as many items as it stands for."""
    results = [result(0, [score("exact", 0.0)], probability=0.1), result(1, [score("exact", 1.0)], probability=1.0)]
    point = view(data_of(results), "exact").days[0]
    assert point.mean == pytest.approx(1 / 11)
    assert point.low is not None and point.high is not None and 0 <= point.low <= 1 / 11 <= point.high <= 1


def test_sample_says_how_it_was_drawn() -> None:
    """Strategy, probabilities and what the items stand for, in all and by stratum."""
    results = [result(n, [], probability=(0.1, 0.5)[n % 2], stratum=("a", "b")[n % 2]) for n in range(10)]
    sample = data_of(results).sample
    assert (sample.total.n, sample.total.low, sample.total.high) == (10, 0.1, 0.5)
    assert sample.total.stands_for == pytest.approx(60)
    assert [(each.name, each.n, each.stands_for) for each in sample.strata] == [
        ("a", 5, 50.0),
        ("b", 5, pytest.approx(10)),
    ]
    assert sample.strategies == ("random",)


def test_data_is_bounded_whatever_the_run() -> None:
    """Ten thousand items with long texts and a stratum each leave a record of a few kilobytes per metric."""

    def endless() -> list[StoredResult]:
        base = result(0, [score("overlap", 0.0)])
        item = replace(base.item, query="q" * 50_000)
        decisions = [replace(base.decision, stratum=str(n)) for n in range(10_000)]
        return [
            base._replace(item=item, scores=(score("overlap", n % 977 / 977),), decision=decision)
            for n, decision in enumerate(decisions)
        ]

    data = data_of(endless())
    assert len(repr(data)) < 150_000
    assert len(data.sample.strata) == 30 and data.sample.more_strata > 900
    shown = view(data, "overlap").worst[0].query
    assert shown is not None and (len(shown.text), shown.more) == (4_000, 46_000)


def test_the_config_of_the_run_is_the_default() -> None:
    """The config stored with the run is shown unless another text is given."""
    run = run_of([], config=RunConfig(text="name: stored\npassword: hunter2\n"))
    assert "stored" in collect(MemoryReader(), run).config.text
    assert "hunter2" not in collect(MemoryReader(), run).config.text
    assert collect(MemoryReader(), run, "name: given").config.text == "name: given"


def test_declared_ranges_are_kept() -> None:
    """A label's declared range reaches its view, for its axes."""
    data = data_of(ordinary(), options=ReportOptions(ranges={"overlap": (0.0, 1.0)}))
    assert view(data, "overlap").range == (0.0, 1.0)


def test_the_fake_is_a_reader() -> None:
    """The reader of these tests answers as the port says."""
    first, second = run_of([]), replace(run_of([]), run_id="run-2", started_at=START + timedelta(days=1))
    reader = MemoryReader([first, second], [Row("run-1", each) for each in ordinary(10)])
    assert reader.newest_runs(STREAM) == [second, first] and reader.newest_runs("nobody") == []
    assert reader.read_run("run-2") == second and reader.read_run("?") is None
    assert len(list(reader.read_results(STREAM, since=START + timedelta(days=1)))) == 0
    assert set(reader.read_spreads(STREAM, "exact")) == {"chat", "mail"}
