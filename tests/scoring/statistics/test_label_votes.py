"""What people say of an item, from all that they said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.core.human_labels import HumanLabel
from shared.scoring.statistics.label_votes import settle_labels

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_persons_newest_verdict_stands() -> None:
    """Whoever changed their mind is heard once, in whatever order the labels come; without times the later one."""
    new, old = HumanLabel("a", "Good", 1.0, NOON, "ann"), HumanLabel("a", "Good", 0.0, NOON - timedelta(days=1), "ann")
    for order in ([new, old], [old, new]):
        assert settle_labels(order)["Good"].passed == {"a": True}
    assert settle_labels([HumanLabel("a", "Good", 1.0), HumanLabel("a", "Good", 0.0)])["Good"].passed == {"a": False}


def test_the_majority_decides_and_a_tie_does_not() -> None:
    """Two of three pass; one against one is no verdict, and so is a value of one half."""
    votes = [HumanLabel("a", "Good", value, None, who) for value, who in ((1.0, "ann"), (0.0, "ben"), (0.9, "cy"))]
    tie = [HumanLabel("b", "Good", 1.0, None, "ann"), HumanLabel("b", "Good", 0.0, None, "ben")]
    found = settle_labels([*votes, *tie, HumanLabel("c", "Good", 0.5, None, "ann")])["Good"]
    assert found.passed == {"a": True}
    assert found.undecided == {"b", "c"}
    assert found.several == 2 and found.kappa is not None


def test_claims_are_kept_apart() -> None:
    """One item may be good in one way and bad in another."""
    found = settle_labels([HumanLabel("a", "Good", 1.0), HumanLabel("a", "Polite", 0.0)])
    assert found["Good"].passed == {"a": True} and found["Polite"].passed == {"a": False}
    assert found["Good"].several == 0 and found["Good"].kappa is None
    assert settle_labels([]) == {}
