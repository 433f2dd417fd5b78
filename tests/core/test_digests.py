import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.core.digests import (
    canonical_json,
    content_digest,
    digest,
    metric_digest,
    stable_id,
    to_plain,
    unit_interval,
)
from shared.core.records import DatasetItem
from tests.core.items import ITEMS, JSON, repeatably


@repeatably
@given(st.dictionaries(st.text(), JSON), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(value: dict[str, Any], rng: Random) -> None:
    """The same parameters written in another order are the same metric."""
    keys = list(value)
    rng.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)


@repeatably
@given(JSON)
def test_canonical_json_says_the_value(value: Any) -> None:
    """Nothing is lost on the way into a digest, so different values cannot share one."""
    assert json.loads(canonical_json(value)) == value


@repeatably
@given(ITEMS, st.lists(st.sampled_from(("query", "actual_output", "latency")), min_size=1))
def test_a_content_digest_covers_what_is_read_and_no_more(item: DatasetItem, fields: list[str]) -> None:
    """A change in what no metric reads does not score an item again; the order of the fields does not count."""
    same = DatasetItem.from_dict(item.to_dict() | {"critique": "other", "id": "other"})
    assert content_digest(item, fields) == content_digest(same, list(reversed(fields * 2)))
    other = DatasetItem.from_dict(item.to_dict() | dict.fromkeys(fields, "12345.5"))
    assert content_digest(item, fields) != content_digest(other, fields) or item == other


def test_every_part_of_a_metric_counts() -> None:
    """Class, version and parameters each make another metric."""
    made = {metric_digest(*each) for each in (("a", "1", {}), ("b", "1", {}), ("a", "2", {}), ("a", "1", {"n": 1}))}
    assert len(made) == 4
    assert all(len(each) == 64 for each in made)


def test_digests_are_the_same_in_every_process() -> None:
    """State written by one process is found by the next, whatever its hash seed."""
    code = "from shared.core.digests import *; print(digest({'a': {'x', 'y', 'z'}}), stable_id('a', 1))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [digest({"a": {"z", "y", "x"}}), stable_id("a", 1)]


def test_stable_ids() -> None:
    """Parts are kept apart, so ("ab",) and ("a", "b") are two things."""
    assert stable_id("a", "b") == stable_id("a", "b")
    assert len({stable_id("a", "b"), stable_id("ab"), stable_id("b", "a"), stable_id(1), stable_id("1")}) == 5


@repeatably
@given(st.text(), st.text())
def test_unit_interval_lies_in_the_interval(salt: str, key: str) -> None:
    """A rate of 1 draws everything and a rate of 0 nothing."""
    assert 0 <= unit_interval(salt, key) < 1


def test_unit_interval_is_uniform_and_salted() -> None:
    """A rate of 30 % draws 30 % of the ids, and under another salt others."""
    one = [unit_interval("salt", str(i)) for i in range(4000)]
    two = [unit_interval("pepper", str(i)) for i in range(4000)]
    assert abs(sum(each < 0.3 for each in one) / 4000 - 0.3) < 0.03
    both = sum(a < 0.3 and b < 0.3 for a, b in zip(one, two, strict=True))
    assert abs(both / 4000 - 0.09) < 0.02
    assert unit_interval("salt", "0") == one[0]


def test_lone_surrogates_have_a_digest() -> None:
    """Broken text from a trace does not stop a run."""
    assert digest("\ud800") != digest("\ud801")
    assert unit_interval("", "\ud800") != unit_interval("", "\ud801")


@dataclass
class Point:
    x: int


def test_plain_values() -> None:
    """Records, times, sets and tuples have one JSON form each."""
    at = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert to_plain(Point(1)) == {"x": 1}
    assert to_plain(at) == to_plain(at.astimezone(UTC)) == "2026-01-01T00:00:00.000000Z"
    assert to_plain({2, 1}) == to_plain(frozenset((1, 2))) == [1, 2]
    assert to_plain((1, {2: None})) == [1, {"2": None}]
    assert to_plain(Point) == repr(Point)
