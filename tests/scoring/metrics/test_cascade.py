"""A cascade: who is asked, what the item's score says, and an aggregate that is the judge's whatever comes before."""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from shared.core.results import Decision, Estimate, ItemResult, MetricRef, MetricScore, Score
from shared.core.state.score_aggregates import proxy_passed
from shared.scoring.metric import BoundMetric, bind, metric
from shared.scoring.metrics.judges.cascade import Cascade
from shared.scoring.runner import Runner
from shared.scoring.statistics.estimates import EstimateBuilder
from shared.scoring.statistics.hajek import hajek
from shared.scoring.statistics.two_phase import two_phase
from shared.scoring.tree import Child, Node, add_nodes, order_nodes
from shared.scoring.verdict_rows import ItemVerdicts, record_answer

REF = MetricRef("C", "cascade", "1", "")
repeatably = settings(deadline=None, derandomize=True, max_examples=50)


@metric(fields={"pred": "metadata.cheap"})
def cheap(pred: float) -> float:
    """What the item says that the cheap metric says."""
    return pred


@metric(needs=("query",), threshold=0.6)
async def costly(item: DatasetItem) -> Score | None:
    """What the item says that the judge says; it costs a dollar."""
    await asyncio.sleep(0)
    said = item.metadata["judge"]
    return None if said is None else Score(said, "judged so", {"votes": 1}, cost=1.0, model="m")


def cascade(**changed: Any) -> BoundMetric:
    params = {"cheap": bind(cheap, "C.cheap"), "judge": bind(costly, "C.judge"), "low": 0.3, "high": 0.7}
    return bind(Cascade, "C", params | changed)


def item(number: int, cheap: float | None, judge: Any = 0.5) -> DatasetItem:
    return DatasetItem(id=f"i{number}", query="q", metadata={"cheap": cheap, "judge": judge})


def ran(found: BoundMetric, *items: DatasetItem) -> list[ItemResult]:
    async def every() -> list[ItemResult]:
        return [each async for each in Runner([found]).run(items)]

    return sorted(asyncio.run(every()), key=lambda each: each.item.id)


def only(found: BoundMetric, case: DatasetItem) -> MetricScore:
    (result,) = ran(found, case)
    assert result.failures == ()
    return result.scores[0]


@pytest.mark.parametrize("value", [0.3, 0.5, 0.7])
def test_where_the_cheap_metric_is_unsure_the_judge_is_asked_for_certain(value: float) -> None:
    score = only(cascade(), item(1, value, 0.9))
    assert (score.value, score.proxy, score.chance, score.cost, score.model) == (0.9, value, 1.0, 1.0, "m")
    assert (score.explanation, score.passed, score.threshold) == ("judged so", True, 0.6)
    assert score.signals == {"judged": True, "chance": 1.0, "cheap": value, "judge_signals": {"votes": 1}}


def test_elsewhere_a_share_is_audited_and_always_the_same() -> None:
    """About one in ten of 2,000; what was not judged says so and has the cheap value."""
    items = [item(number, 0.9, 0.2) for number in range(2000)]
    first, again, other = (ran(each, *items) for each in (cascade(), cascade(), cascade(seed=1)))
    judged = [result.item.id for result in first if result.scores[0].cost]
    assert 150 < len(judged) < 250
    assert judged == [result.item.id for result in again if result.scores[0].cost]
    assert judged != [result.item.id for result in other if result.scores[0].cost]
    for result in first:
        score = result.scores[0]
        assert (score.proxy, score.chance) == (0.9, 0.1)
        assert score.value == (0.2 if score.cost else 0.9)
        assert score.explanation.startswith("judged so" if score.cost else "not judged (cheap is sure)")


def test_where_the_cheap_metric_does_not_apply_the_judge_decides() -> None:
    score = only(cascade(), item(1, None, 0.9))
    assert (score.value, score.proxy, score.chance) == (0.9, 0.9, 1.0)


def test_where_the_judge_does_not_apply_neither_does_the_cascade() -> None:
    assert ran(cascade(), item(1, 0.5, None))[0].not_applicable == ("C",)


@pytest.mark.parametrize(
    ("case", "kind", "said"),
    [
        (item(1, 1.5), "ItemError", "C.cheap: OutOfRange"),
        (item(1, math.nan), "ItemError", "C.cheap: NotFinite"),
        (item(1, 0.5, 7.0), "ItemError", "C.judge: OutOfRange"),
        (item(1, 0.5, "high"), "ItemError", "C.judge: NotANumber"),
        (DatasetItem(id="x", query="q", metadata={"cheap": 0.5}), "KeyError", "judge"),
    ],
)
def test_a_part_that_fails_fails_the_cascade(case: DatasetItem, kind: str, said: str) -> None:
    (failure,) = ran(cascade(), case)[0].failures
    assert failure.kind == kind
    assert said in failure.message


@metric(inverse=True)
def lower_is_better(item: DatasetItem) -> float:
    """Passes below."""
    return 0.0


@metric(high=None)
def unbounded(item: DatasetItem) -> float:
    """Any number."""
    return 0.0


@metric(blocking=True)
def slow(item: DatasetItem) -> float:
    """In a process of its own."""
    return 0.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"low": 0.8}, "low 0.8 above high 0.7"),
        ({"cheap": bind(lower_is_better, "x")}, "cheap: 'lower_is_better' passes below"),
        ({"judge": bind(unbounded, "x")}, "judge: 'unbounded' is not between 0 and 1"),
        ({"judge": cascade()}, "judge: a cascade asks by chance itself"),
        ({"cheap": bind(slow, "x")}, "cheap: 'slow' runs in a process of its own"),
    ],
)
def test_parts_that_cannot_be_compared_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cascade(**changed)


def test_the_digest_covers_both_parts_and_not_their_labels() -> None:
    one = cascade().ref.digest
    assert one == cascade(cheap=bind(cheap, "another label")).ref.digest
    others = {cascade(**changed).ref.digest for changed in ({"audit": 0.2}, {"seed": 1}, {"cheap": bind(costly, "C")})}
    assert len(others | {one}) == 4
    assert set(cascade().reads) == set(bind(cheap, "c").reads) | set(bind(costly, "c").reads)


# --- what an answer may say of its chance


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        (Score(0.5, proxy=0.5), "Malformed"),
        (Score(0.5, chance=0.5), "Malformed"),
        (Score(0.5, proxy=0.5, chance=0.0), "Malformed"),
        (Score(0.5, proxy=0.5, chance=math.nan), "Malformed"),
        (Score(0.5, proxy=math.nan, chance=0.5), "NotFinite"),
        (Score(0.5, proxy=2.0, chance=0.5), "OutOfRange"),
    ],
)
def test_a_wrong_chance_is_a_failure(score: Score, kind: str) -> None:
    verdicts = ItemVerdicts(item(1, 0.5))
    record_answer(cascade(), score, verdicts)
    assert [each.kind for each in verdicts.failures] == [kind]


# --- the aggregate


def row(value: float, proxy: float | None = None, chance: float | None = None, inverse: bool = False) -> MetricScore:
    passed = value < 0.5 if inverse else value >= 0.5
    return MetricScore(REF, value, passed, 0.5, proxy=proxy, chance=chance)


def estimated(rows: list[MetricScore], probability: float = 0.5, population: Any = "process") -> Estimate:
    builder = EstimateBuilder({"C": (0.0, 1.0)}, population=population)
    for number, each in enumerate(rows):
        builder.add(each, Decision(str(number), True, probability, "random"))
    return builder.build()[0]


def test_the_terms_by_hand() -> None:
    """1 + (0 - 1)/0.5 = -1, then 1, 0 and 0.8: their mean is 0.2; of the pass terms -1, 1, 0, 1 it is 0.25."""
    found = estimated([row(0.0, 1.0, 0.5), row(1.0, 1.0, 0.5), row(0.0, 0.0, 0.5), row(0.8, 0.3, 1.0)])
    assert found.n == 4
    assert [found.mean, found.pass_rate] == pytest.approx([0.2, 0.25])


def test_rows_without_a_chance_count_as_they_are() -> None:
    """Also when those with one come later: the builder fills up what was before."""
    found = estimated([row(1.0), row(0.0), row(0.0, 1.0, 0.5), row(1.0)])
    assert found.mean == pytest.approx((1 + 0 - 1 + 1) / 4)


def test_judged_for_certain_it_is_the_plain_estimate() -> None:
    """Chance 1 everywhere: mean and errors are Hájek's of the values, proxies play no part."""
    values, proxies, pi = [0.1, 0.9, 0.4, 0.7], [0.9, 0.1, 0.5, 0.5], [0.5, 0.25, 0.5, 1.0]
    import numpy as np

    found = two_phase(pi, None, np.array(values), np.array(proxies), np.ones(4), 1.0)
    plain = hajek(values, pi)
    assert found.mean == pytest.approx(plain.mean)
    assert found.se_process == pytest.approx(plain.se_process)
    assert found.se_traffic == pytest.approx(plain.se_traffic)


def test_a_census_still_has_the_error_of_the_second_draw() -> None:
    """Everything was drawn, not everything judged: the traffic's interval has a width."""
    rows = [row(float(number % 2), 1.0, 0.5) if number % 3 else row(1.0, 1.0, 0.5) for number in range(60)]
    found = estimated(rows, 1.0, "traffic")
    assert found.mean_low is not None
    assert found.mean is not None
    assert found.mean_low < found.mean - 0.05
    assert found.pass_low is not None and found.pass_rate is not None
    assert found.pass_low < found.pass_rate - 0.05
    certain = estimated([row(float(number % 2), 1.0, 1.0) for number in range(60)], 1.0, "traffic")
    assert (certain.pass_low, certain.pass_rate, certain.pass_high) == (0.5, 0.5, 0.5)


def test_audits_that_all_pass_leave_the_rate_open() -> None:
    """100 of 100 pass, of which about ten were judged: less sure than 100 of 100 judged, in both populations."""
    for population in ("process", "traffic"):
        judged = estimated([row(1.0, 1.0, 1.0)] * 100, 1.0, population)
        audited = estimated([row(1.0, 1.0, 0.1)] * 100, 1.0, population)
        assert audited.pass_rate == judged.pass_rate == 1.0
        assert audited.pass_low is not None and judged.pass_low is not None
        assert audited.pass_low < judged.pass_low - 0.03


def test_no_disagreement_seen_is_no_certainty() -> None:
    """Ten audits that all agree leave room for one that does not."""
    sure = estimated([row(1.0, 1.0, 1.0)] * 99 + [row(0.0, 0.0, 1.0)], 1.0)
    audited = estimated([row(1.0, 1.0, 0.1)] * 99 + [row(0.0, 0.0, 0.1)], 1.0)
    assert sure.mean_low is not None and audited.mean_low is not None
    assert audited.mean_low < sure.mean_low - 0.05


def test_an_estimate_stays_in_its_range() -> None:
    found = estimated([row(0.0, 1.0, 0.01), row(0.0, 0.5, 1.0)])
    assert (found.mean, found.pass_rate) == (0.0, 0.0)
    assert found.mean_low == 0.0


@pytest.mark.parametrize(("inverse", "expected"), [(False, 1), (True, 0)])
def test_a_proxy_passes_as_its_score_would(inverse: bool, expected: int) -> None:
    for value in (0.2, 0.8):
        assert proxy_passed(row(value, 0.9, 0.5, inverse)) == expected
    assert proxy_passed(MetricScore(REF, 0.2, None, None, proxy=0.9, chance=0.5)) == -1


@repeatably
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 1)), min_size=2, max_size=8))
def test_the_mean_over_all_outcomes_of_the_second_draw_is_the_judges(cases: list[tuple[float, float, float]]) -> None:
    """Exactly, not by simulation: every subset that may be judged, with its probability."""
    import numpy as np

    values, proxies, chances = (np.array(column) for column in zip(*cases, strict=True))
    expected = 0.0
    for subset in range(2 ** len(cases)):
        judged = np.array([bool(subset >> place & 1) for place in range(len(cases))])
        share = float(np.where(judged, chances, 1 - chances).prod())
        shown = np.where(judged, values, proxies)
        pi = [0.5] * len(cases)
        expected += share * two_phase(pi, None, shown, proxies, chances, 1.0).mean if share else 0.0
    assert expected == pytest.approx(float(values.mean()), abs=1e-9)


def test_the_whole_way_is_unbiased_and_covers() -> None:
    """A cheap metric that flatters: the naive mean is wrong by far, the estimate and its interval are right."""
    rng = Random(3)
    naive, means, covered, repeats = 0.0, 0.0, 0, 300
    for _ in range(repeats):
        rows = []
        for _ in range(200):
            good = rng.random() < 0.6
            proxy = rng.uniform(0.75, 1.0) if good or rng.random() < 0.5 else rng.uniform(0.0, 0.7)
            chance = 1.0 if 0.3 <= proxy <= 0.7 else 0.1
            rows.append(row(float(good) if rng.random() < chance else proxy, proxy, chance))
        found = estimated(rows)
        assert found.mean is not None and found.mean_low is not None and found.mean_high is not None
        naive += sum(each.value for each in rows) / len(rows) / repeats
        means += found.mean / repeats
        covered += found.mean_low <= 0.6 <= found.mean_high
    assert abs(naive - 0.6) > 0.05
    assert abs(means - 0.6) < 0.02
    assert covered / repeats > 0.92


# --- trees


def test_a_node_above_a_cascade_is_unbiased_too() -> None:
    """Its proxy is its own value with the cheap one in it; the chance is the cascade's."""
    node = Node("All", (Child("C", 1.0), Child("D", 3.0)), "weighted_average", None, False)
    (node,) = order_nodes([node], {"C": "1", "D": "2"})
    verdicts = ItemVerdicts(item(1, 0.9))
    verdicts.scores.append(row(0.2, 0.9, 0.1))
    verdicts.scores.append(MetricScore(MetricRef("D", "d", "1", ""), 0.6, None, None))
    add_nodes([node], verdicts)
    made = verdicts.scores[-1]
    assert [made.value, made.proxy, made.chance] == pytest.approx([0.5, 0.675, 0.1])
