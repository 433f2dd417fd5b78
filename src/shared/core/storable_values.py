"""Which values can be stored: what JSON can hold, in bounded depth and number, without a value that contains itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from shared.core.best_effort import attempt
from shared.core.digests import to_plain

DEEPEST = 100
"""Levels of mappings and lists in each other: readers and writers of JSON give up at several hundred."""

MOST = 1_000_000
"""Values in all: what is shared within a value is written once for each place."""

_LONGEST_INTEGER = 1024  # bits: a few hundred digits, the size of the largest float
_PLAIN = (str, float, bool, type(None))
_PLAIN_TYPES = frozenset(_PLAIN)
_END = object()


def is_plain(value: object) -> bool:
    """Whether a value is JSON as a parser gives it, within the bounds: it is read again as it was stored."""
    level: list[object] = [value]
    count = 0
    for _ in range(DEEPEST):
        inner: list[object] = []
        for one in level:
            if type(one) in _PLAIN_TYPES:
                continue
            parts = _plain_parts(one)
            if parts is None:
                return False
            inner.extend(parts)
        count += 2 * len(inner)
        if not inner or count > MOST:
            return not inner
        level = inner
    return False


def _plain_parts(value: object) -> Iterable[object] | None:
    if type(value) is dict:
        return value.values() if set(map(type, value)) <= {str} else None
    if type(value) is list:
        return value
    return () if type(value) is int and not _find_problem(value) else None


def find_unstorable(value: object) -> str:
    """What keeps a value from being stored; empty when nothing does."""
    return "" if is_plain(value) else _find_first_problem(value)


def _find_first_problem(value: object) -> str:
    around: list[int] = []  # the containers that the current value is in
    rest: list[object] = [value]
    count = 0
    while rest:
        one = rest.pop()
        if one is _END:
            around.pop()
            continue
        inner = _parts(one)
        if inner is None:
            if problem := _find_problem(one):
                return problem
            continue
        if id(one) in around:
            return f"a {type(one).__name__} that contains itself"
        if len(around) == DEEPEST:
            return f"it is nested deeper than {DEEPEST} levels"
        around.append(id(one))
        rest.append(_END)
        rest.extend(inner)
        count += 1
        if len(rest) + count > MOST:
            return f"it has more than {MOST:,} values"
    return ""


def _parts(value: object) -> Iterable[object] | None:
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, each.name) for each in dataclasses.fields(value)]
    return None


def _find_problem(value: object) -> str:
    if isinstance(value, _PLAIN):
        return ""
    if isinstance(value, int):
        return "" if value.bit_length() <= _LONGEST_INTEGER else "an integer of more than 300 digits"
    plain = attempt(to_plain, value)
    return f"a {type(value).__name__} that has no text" if isinstance(plain, Exception) else ""
