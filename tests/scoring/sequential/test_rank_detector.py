"""Evidence that a series has moved: rare without a change, soon with one, and the same after every restart."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from shared.scoring.sequential.rank_detector import POOL, RankDetector, choose_alarms, threshold
from shared.scoring.sequential.seasonal_baseline import Look, SeasonalBaseline, fit_baseline

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEK, MONTH = 168, 720


def rates(rng: np.random.Generator, hours: int, rate: float = 0.1, first: int = 0, n: int = 50) -> list[Look]:
    """Looks of some `n` items with hits at this rate."""
    sizes = np.maximum(1, rng.poisson(n, size=hours))
    pairs = zip(sizes, rng.binomial(sizes, rate), strict=True)
    return [
        Look(START + timedelta(hours=first + hour), float(size), float(k / size), float(k - k * k / size))
        for hour, (size, k) in enumerate(pairs)
    ]


def started(rng: np.random.Generator, name: str = "s") -> RankDetector:
    fitted = fit_baseline(rates(rng, WEEK), rate=True)
    assert fitted is not None
    return RankDetector(name, *fitted)


def test_ranks_without_a_change_are_uniform_and_uncorrelated() -> None:
    """100,000 p-values of independent series: small ones are as rare as they should be, and none depends on another."""
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        detector = started(rng, f"series {seed}")
        row = []
        for look in rates(rng, 668, first=WEEK):
            row.append(detector.rank(detector.baseline.standardize(look), "rises", look.start))
            detector.update(look)
        found.append(row)
    values = np.array(found)
    assert values.size > 100_000
    assert kstest(values.ravel(), "uniform").statistic < 0.02
    lagged = np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]
    assert abs(lagged) < 0.02


def test_false_alarms_keep_to_the_budget() -> None:
    """60 months without a change give at most 20 alarms where 6 are budgeted: a rule that looks hourly gives 1,500."""
    alarms = 0
    for month in range(60):
        rng = np.random.default_rng([1, month])
        detector = started(rng, f"month {month}")
        for look in rates(rng, MONTH, first=WEEK):
            detector.update(look)
            if detector.evidence["rises"].value >= threshold(MONTH, 0.1):
                alarms += 1
                detector.reset("rises")
    assert alarms <= 20


@pytest.mark.parametrize(("rate", "direction", "hours"), [(0.2, "rises", 16), (0.15, "rises", 60), (0.01, "falls", 48)])
def test_a_change_is_seen_within_hours(rate: float, direction: str, hours: int) -> None:
    """The evidence for the right direction reaches the default threshold, and it begins within days of the change."""
    rng = np.random.default_rng(4)
    detector = started(rng)
    for look in rates(rng, WEEK, first=WEEK):
        detector.update(look)
    taken = 0
    evidence = detector.evidence[direction]  # type: ignore[index]
    while evidence.value < threshold(MONTH, 0.1) and taken < 200:
        (look,) = rates(rng, 1, rate, first=2 * WEEK + taken)
        detector.update(look)
        taken += 1
    assert taken <= hours
    since = datetime.fromisoformat(evidence.since)
    assert abs((since - START) / timedelta(hours=1) - 2 * WEEK) <= 72
    assert (evidence.ratio > 1) == (direction == "rises")


def test_no_single_look_pages() -> None:
    """However far out, one hour is not enough: an outage of an hour is for another rule."""
    detector = started(np.random.default_rng(2))
    detector.update(Look(START + timedelta(hours=WEEK), 50, 1.0, 0.0))
    assert detector.evidence["rises"].value < 720


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 300), st.integers(0, 10_000))
def test_a_restart_changes_nothing(taken: int, seed: int) -> None:
    """A detector that is stored as JSON and read again at any look goes on to the same evidence, bit for bit."""
    rng = np.random.default_rng(seed)
    one = started(rng)
    looks = rates(rng, 320, first=WEEK)
    for look in looks[:taken]:
        one.update(look)
    other = RankDetector.from_state("s", json.loads(json.dumps(one.to_state())))
    for look in looks[taken:]:
        one.update(look)
        other.update(look)
    assert one.to_state() == other.to_state()


def test_the_pool_stays_small_and_empty_looks_change_nothing() -> None:
    """After months the state holds its newest distances only; an hour without items leaves it as it is."""
    rng = np.random.default_rng(3)
    detector = started(rng)
    for look in rates(rng, POOL + 50, first=WEEK):
        detector.update(look)
    state = detector.to_state()
    assert len(state["pool"]) == POOL and len(json.dumps(state)) < 25_000
    detector.update(Look(START + timedelta(hours=9_999), 0, 0.0, 0.0))
    assert detector.to_state() == state


def test_a_daily_season_is_expected() -> None:
    """The expectation follows the hours of the day, stays inside (0, 1), and a flat series has next to none."""
    rng = np.random.default_rng(8)
    looks = []
    for hour in range(2 * WEEK):
        rate = 0.1 * (1 + 0.6 * math.sin(2 * math.pi * hour / 24))
        looks += rates(rng, 1, rate, first=hour, n=200)
    fitted = fit_baseline(looks, rate=True)
    assert fitted is not None
    peak, trough = (fitted[0].expect(START + timedelta(hours=hour)) for hour in (6, 18))
    assert peak == pytest.approx(0.16, abs=0.02) and trough == pytest.approx(0.04, abs=0.02)


@pytest.mark.parametrize(
    "looks",
    [
        [],
        rates(np.random.default_rng(1), 47),
        [Look(START + timedelta(hours=h), 50, 1.0, 0.0) for h in range(200)],
        [Look(START + timedelta(hours=h), 0, 0.0, 0.0) for h in range(200)],
        [Look(START + timedelta(hours=h), 1, 0.5, 0.0) for h in range(200)],
    ],
)
def test_too_little_is_no_baseline(looks: list[Look]) -> None:
    """Fewer than 48 looks, values that never vary, or no items: there is nothing to expect, and no error."""
    assert fit_baseline(looks, rate=True) is None


def test_a_baseline_is_fitted_to_scores_of_any_size() -> None:
    """Means of milliseconds or thousandths have a baseline too, and its distances have unit spread."""
    for scale in (1e-6, 1.0, 1e6):
        rng = np.random.default_rng(6)
        values = rng.normal(3.0, 1.0, size=(WEEK, 20)) * scale
        looks = [Look(START + timedelta(hours=h), 20, float(row.mean()), float(((row - row.mean()) ** 2).sum()))
                 for h, row in enumerate(values)]  # fmt: skip
        fitted = fit_baseline(looks, rate=False)
        assert fitted is not None and isinstance(fitted[0], SeasonalBaseline)
        assert 0.85 < float(np.std(fitted[1])) < 1.15


@given(st.lists(st.floats(0, 1e9), max_size=8), st.floats(1, 1e6))
def test_a_family_alarms_by_its_mean_and_names_the_largest(evidence: list[float], limit: float) -> None:
    """Nobody is named unless the mean reaches the threshold; then those with the most evidence are, at least one."""
    chosen = choose_alarms(evidence, limit)
    if not evidence or sum(evidence) / len(evidence) < limit:
        assert chosen == []
    else:
        assert chosen
        least = min(evidence[each] for each in chosen)
        assert all(evidence[each] <= least for each in range(len(evidence)) if each not in chosen)
