"""The handbook and its rules agree, so that what is made of them is right by construction."""

from __future__ import annotations

from collections import Counter

import pytest

from implementations.athena.app.handbook import WORDS, Passage, Rule, load_handbook, load_rules
from implementations.athena.app.retrieval import Retriever, find_terms
from implementations.athena.gold import states

PASSAGES = {each.id: each for each in load_handbook()}
RULES = load_rules()


def test_the_handbook_is_some_sixty_short_passages() -> None:
    """Prompts show whole passages, so each must stay short; ids and titles must name exactly one."""
    assert 55 <= len(PASSAGES) <= 70
    assert len({each.title for each in PASSAGES.values()}) == len(PASSAGES) == len(load_handbook())
    assert all(2 <= each.text.count(". ") + each.text.endswith(".") <= 4 for each in PASSAGES.values())
    assert all(len(each.text) < 300 for each in PASSAGES.values())


def test_every_passage_has_one_rule() -> None:
    """A passage without its rule would be retrieved but never asked for."""
    assert [each.passage for each in RULES] == list(PASSAGES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.passage)
def test_a_rule_says_what_its_passage_says(rule: Rule) -> None:
    """The gold decision and fact stand in the passage, and none of the wrong ones does."""
    text = PASSAGES[rule.passage].text
    assert states(text, rule.answer)
    assert not any(states(text, wrong) for wrong in rule.negatives)
    said = [decision for decision, word in WORDS.items() if word in find_terms(text)]
    assert said == ([rule.decision] if rule.decision else [])
    assert len(set(rule.questions)) == 3
    assert len(set(rule.cases)) == (3 if rule.decision else 0)


def test_all_decisions_come_up() -> None:
    """A lopsided handbook would let a constant answer look good."""
    counts = Counter(rule.decision for rule in RULES if rule.decision)
    assert min(counts.values()) >= 15
    assert max(counts.values()) <= 0.4 * sum(counts.values())


def test_retrieval_finds_what_was_asked_for() -> None:
    """Most questions find their passage first; where none does, no prompt can be right."""
    retriever = Retriever(load_handbook())
    asked = [(question, rule.passage) for rule in RULES for question in rule.questions]
    first = sum(retriever.search(question, 1)[0].passage.id == gold for question, gold in asked)
    assert first / len(asked) > 0.95


def test_retrieval_is_stable_and_bounded() -> None:
    """Equal scores keep the handbook's order, nothing scores below zero, and k is kept."""
    retriever = Retriever([Passage("b", "Same", "words"), Passage("a", "Same", "words"), Passage("c", "Other", "text")])
    hits = retriever.search("same words", 2)
    assert [hit.passage.id for hit in hits] == ["b", "a"]
    assert retriever.search("nothing in common", 3)[0].score == 0
