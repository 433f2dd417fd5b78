"""What values become in a column, by kind, also the values of numpy, pandas and hostile texts."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from shared.database.upload.value_conversion import Kind, find_conversion

NAN, INF = float("nan"), float("inf")
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("missing", [None, NAN, INF, -INF, pd.NaT, pd.NA, np.nan, np.float32("inf"), Decimal("NaN")])
@pytest.mark.parametrize("kind", ["json", "float", "big", "number", "text"])
def test_what_is_missing_is_null(kind: Kind, missing: Any) -> None:
    assert find_conversion(kind)(missing) is None


@pytest.mark.parametrize("missing", [None, NAN, pd.NaT, pd.NA, np.datetime64("NaT"), "NaT", ""])
def test_a_missing_time_is_null(missing: Any) -> None:
    assert find_conversion("moment")(missing) is None


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        ("float", np.float32(0.5), 0.5),
        ("float", np.int64(3), 3.0),
        ("float", True, 1.0),
        ("float", " 2.5e3 ", 2500.0),
        ("float", "nan", None),
        ("float", Decimal("0.1"), 0.1),
        ("big", 3.0, 3),
        ("big", np.uint8(200), 200),
        ("big", "12", 12),
        ("small", -(2**15), -(2**15)),
        ("number", 0.1, Decimal("0.1")),
        ("number", 10**40, 10**40),
        ("bool", np.bool_(False), False),
        ("bool", 1, True),
        ("bool", " TRUE ", True),
        ("bool", NAN, None),
        ("text", 5, "5"),
        ("text", True, "true"),
        ("text", {"b": 1, "a": NAN}, '{"b": 1, "a": null}'),
        ("text", np.str_("x"), "x"),
        ("text", "a\0b", "a\\x00b"),
        ("text", "cut \ud83d", "cut \\ud83d"),
        ("text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("moment", "2026-03-01T01:00:00+01:00", DAY),
        ("moment", pd.Timestamp("2026-03-01 00:00:00.000000999"), DAY),
        ("moment", np.datetime64("2026-03-01"), DAY),
        ("moment", date(2026, 3, 1), DAY),
        ("moment", DAY.timestamp(), DAY),
        ("naive", DAY, datetime(2026, 3, 1)),
        ("date", DAY, date(2026, 3, 1)),
        ("json", '{"a": [1, 1e400]}', '{"a": [1, null]}'),
        ("json", " [1] ", "[1]"),
        ("json", "[see the notes]", '"[see the notes]"'),
        ("json", "{" * 100_000 + "}" * 100_000, '"' + "{" * 100_000 + "}" * 100_000 + '"'),
        ("json", np.array([1.5, NAN]), "[1.5, null]"),
        ("json", [datetime(2026, 3, 1), date(2026, 3, 1)], '["2026-03-01T00:00:00", "2026-03-01"]'),
        ("json", {1: "a", 2: "b"}, '{"1": "a", "2": "b"}'),
        ("json", ("a\0b", "\ud83d"), '["a\\\\x00b", "\\\\ud83d"]'),
        ("json", {"a\0": 1}, '{"a\\\\x00": 1}'),
        ("json", Decimal("0.1"), "0.1"),
        ("json", Decimal("7.00"), "7"),
        ("json", 2**200, str(2**200)),
        ("json", float("1e308"), "1e+308"),
        ("other", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)  # fmt: skip
def test_a_value_becomes_what_the_column_holds(kind: Kind, value: Any, made: Any) -> None:
    found = find_conversion(kind)(value)
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("float", 10**400, "too large"),
        ("float", "half", "expected a number, found str 'half'"),
        ("big", 2**63, "too large for a whole number of 64 bits"),
        ("int", 2**31, "32 bits"),
        ("big", 0.5, "expected a whole number"),
        ("bool", "yes and no", "expected true or false"),
        ("text", b"bytes", "expected a text, found bytes"),
        ("id", "a\0b", "can be a key"),
        ("id", "\ud83d", "can be a key"),
        ("id", None, "can be a key"),
        ("moment", "soon", "expected a time"),
        ("moment", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "between the years 1 and 9999"),
        ("date", DAY + timedelta(hours=1), "expected a day"),
        ("json", {"a": {1, 2}}, r"found set \{1, 2\}"),
        ("json", object, "found type"),
        ("json", {(1, 2): 3}, "keys that are texts"),
        ("json", {1: "a", "1": "b"}, "two keys of an object would both be '1'"),
        ("json", Decimal("0.1000000000000000000001"), "give it as a text"),
        ("json", [10**5000], "digits"),
        ("int", "1e999999999", "too large for a whole number of 32 bits"),
        ("big", Decimal("-1e999999999"), "too large for a whole number of 64 bits"),
        ("json", np.timedelta64(1, "s"), "seconds as a number"),
        ("float", timedelta(seconds=1), "expected a number, found timedelta"),
    ],
)
def test_a_value_that_would_become_another_is_refused(kind: Kind, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        find_conversion(kind)(value)


def test_a_value_within_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="within itself"):
        find_conversion("json")(endless)


def test_a_long_double_is_a_number() -> None:
    found = find_conversion("float")(np.longdouble(0.25))
    assert found == 0.25
    assert math.isfinite(found)
