"""Requests with known answers, made from the handbook's own rules by a seeded generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeVar

from implementations.athena.app.handbook import Rule

Kind = Literal["recommendation", "chat"]
T = TypeVar("T")

_NAMES = "Maple Harbor Oak Cedar River Hill Lake Stone Birch Willow Summit Bay Elm Grove Pine"
_FORMS = "Street House Company Partners Corner"
_TOWNS = "Salem Dover Fairview Bristol Clinton Ashland Milton Newport Oxford Madison"
_DRESSES = (
    "{question}",
    "A client of mine wants to know: {question}",
    "Quick question before a call. {question}",
    "Hello Athena, I am new here. {question}",
    "{question} I need it for a quote today.",
    "One of our brokers asks: {question}",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what is right for it.

    `expected` is the decision (accept, refer, decline) or the fact asked for; `sources` are the ids of the passages
    that say so; `negatives` are answers that are wrong for certain.
    """

    kind: Kind
    text: str
    expected: str
    sources: tuple[str, ...]
    negatives: tuple[str, ...]
    user: str
    session: str
    tags: tuple[str, ...]


def make_requests(kind: Kind, rules: Sequence[Rule], n: int, seed: int) -> list[Request]:
    """`n` requests of one kind; the same rules, n and seed give the same requests, and all rules come up evenly."""
    rng = Random(f"{seed}:{kind}")
    build = _submission if kind == "recommendation" else _question
    pairs = _rounds(kind, rules, rng)
    return [build(*next(pairs), number, rng) for number in range(n)]


def _rounds(kind: Kind, rules: Sequence[Rule], rng: Random) -> Iterator[tuple[Rule, str]]:
    """Round after round of all rules in a new order, with another wording in each round."""
    wordings = {rule.passage: _shuffle(_wordings(kind, rule), rng) for rule in rules}
    number = 0
    while True:
        for rule in _shuffle([rule for rule in rules if wordings[rule.passage]], rng):
            mine = wordings[rule.passage]
            yield rule, mine[number % len(mine)]
        number += 1


def _wordings(kind: Kind, rule: Rule) -> Sequence[str]:
    return rule.cases if kind == "recommendation" else rule.questions


def _shuffle(values: Sequence[T], rng: Random) -> list[T]:
    return rng.sample(list(values), len(values))


def _submission(rule: Rule, case: str, number: int, rng: Random) -> Request:
    name = "{} {} in {}".format(*(rng.choice(words.split()) for words in (_NAMES, _FORMS, _TOWNS)))
    staff, sales = rng.randint(2, 40), rng.randint(2, 30) * 50_000
    text = f"{name} is {case}. It has {staff} employees and yearly sales of {sales} dollars."
    decision = str(rule.decision)
    wrong = tuple(each for each in ("accept", "refer", "decline") if each != decision)
    session = f"submission-{number:04d}"
    return Request("recommendation", text, decision, (rule.passage,), wrong, _user(rng), session, ("submission",))


def _question(rule: Rule, question: str, number: int, rng: Random) -> Request:
    text = rng.choice(_DRESSES).format(question=question)
    session = f"talk-{number // 2:04d}"
    return Request("chat", text, rule.answer, (rule.passage,), rule.negatives, _user(rng), session, ("question",))


def _user(rng: Random) -> str:
    return f"u-{rng.randint(1, 24):03d}"
