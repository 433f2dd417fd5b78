"""The generator: seeded, even over the rules, right by construction."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from implementations.athena.app.handbook import load_rules
from implementations.athena.app.recording import DAYS, END, slots
from implementations.athena.app.requests import Kind, make_requests

RULES = {rule.passage: rule for rule in load_rules()}
KINDS: tuple[Kind, ...] = ("recommendation", "chat")


@pytest.mark.parametrize("kind", KINDS)
def test_gold_follows_from_the_rules(kind: Kind) -> None:
    """Whatever is asked, the expected answer is what the one source passage lays down."""
    for request in make_requests(kind, load_rules(), 300, seed=5):
        (source,) = request.sources
        rule = RULES[source]
        wordings = rule.cases if kind == "recommendation" else rule.questions
        assert any(wording in request.text for wording in wordings)
        assert request.expected == (rule.decision if kind == "recommendation" else rule.answer)
        assert request.expected not in request.negatives


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_means_one_list(kind: Kind) -> None:
    """The same seed gives the same requests and another seed others, so a collection can be repeated."""
    first, again, other = (make_requests(kind, load_rules(), 50, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_all_rules_come_up_evenly() -> None:
    """No passage is asked for twice more often than another."""
    counts = Counter(each.sources for each in make_requests("chat", load_rules(), 300, seed=1))
    assert len(counts) == len(RULES)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_replay_times_have_a_daily_rhythm() -> None:
    """In order, inside the declared days, busiest in working hours; the last third runs on prompt version 2."""
    places = slots(400, seed=3, kind="chat")
    assert all(before.replay_at <= after.replay_at for before, after in pairwise(places))
    assert 0 <= (END - places[0].replay_at).days <= DAYS
    assert places[-1].replay_at < END
    working = sum(8 <= each.replay_at.hour < 18 for each in places)
    assert working / len(places) > 0.75
    versions = [each.prompt_version for each in places]
    assert versions == sorted(versions)
    assert 0.2 < versions.count(2) / len(versions) < 0.45
