from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.clock import as_utc, iso, parse_time, utc_now
from tests.core.items import repeatably

MOMENTS = st.datetimes(timezones=st.just(UTC))


@repeatably
@given(MOMENTS)
def test_iso_reads_back(moment: datetime) -> None:
    """A stored time is the time that was stored."""
    assert parse_time(iso(moment)) == moment


@repeatably
@given(MOMENTS, MOMENTS)
def test_iso_sorts_as_the_moments_do(one: datetime, two: datetime) -> None:
    """Databases may compare stored times as texts."""
    assert (iso(one) < iso(two)) == (one < two)


def test_times_in_many_spellings() -> None:
    """Datetimes, ISO texts and Unix seconds mean one moment; naive ones are UTC."""
    moment = datetime(2026, 1, 2, 3, tzinfo=UTC)
    east = moment.astimezone(timezone(timedelta(hours=5)))
    spellings: list[Any] = [moment, east, east.isoformat(), "2026-01-02T03:00", " 2026-01-02 03:00:00Z "]
    spellings += [moment.replace(tzinfo=None), moment.timestamp(), int(moment.timestamp())]
    assert {parse_time(each) for each in spellings} == {moment}
    assert as_utc(east).tzinfo is UTC


@pytest.mark.parametrize("value", [True, None, "soon", "", 1e300, float("nan"), "0001-01-01T00:00+14:00", []])
def test_what_is_no_time(value: object) -> None:
    """Every bad time is one kind of error that shows the value."""
    with pytest.raises(ValueError, match="expected a time"):
        parse_time(value)


def test_the_systems_clock_is_aware() -> None:
    """No naive time gets in by the front door."""
    assert utc_now().tzinfo is UTC
