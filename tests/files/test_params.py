from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from shared.core.window import Window
from shared.files.file_source import FileSource
from shared.monitoring.source_window import WindowParams
from shared.monitoring.sources import FileDataSource

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def refused(**params: Any) -> str:
    with pytest.raises(ValidationError) as error:
        FileDataSource(path="a.jsonl", **params)
    return str(error.value)


def test_no_window_says_what_to_write() -> None:
    """Without a window a run would read whatever is there: it must be said."""
    text = refused()
    assert "no window: set one of minutes_back, hours_back, days_back, from_timestamp/to_timestamp" in text
    assert "`window: all`" in text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"minutes_back": 5, "days_back": 1}, "minutes_back and days_back"),
        ({"hours_back": 5, "window": "all"}, "hours_back and window"),
        ({"days_back": 1, "to_timestamp": "2026-03-01"}, "days_back and to_timestamp"),
    ],
)
def test_two_windows_are_named(given: dict[str, Any], named: str) -> None:
    """Two windows contradict each other; none may win in silence."""
    assert f"2 windows: found {named}" in refused(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"minutes_back": 0},
        {"hours_back": -1},
        {"days_back": float("inf")},
        {"days_back": "7"},
        {"days_back": True},
        {"window": "some"},
        {"from_timestamp": "yesterday"},
        {"from_timestamp": 5},
        {"from_timestamp": "2026-03-02", "to_timestamp": "2026-03-02"},
        {"window": "all", "limit": 0},
        {"window": "all", "limit": "ten"},
        {"window": "all", "format": "xml"},
        {"window": "all", "timestamp_field": ""},
        {"window": "all", "path": []},
        {"window": "all", "path": "a\0b"},
        {"window": "all", "day_back": 1},
    ],
)
def test_wrong_values_are_refused(given: dict[str, Any]) -> None:
    """Wrong or unknown values stop the run before any work."""
    with pytest.raises(ValidationError):
        FileDataSource(**({"path": "a.jsonl"} | given))


def window(**given: Any) -> Window:
    return WindowParams.model_validate(given).to_rule(FileSource.window_support).window_at(NOW)


def test_times_are_read_as_utc() -> None:
    """YAML gives texts, dates and datetimes; naive ones are UTC."""
    found = window(from_timestamp=date(2026, 3, 1), to_timestamp="2026-03-02T01:00:00+01:00")
    assert found.start == datetime(2026, 3, 1, tzinfo=UTC)
    assert found.end == datetime(2026, 3, 2, tzinfo=UTC)


def test_relative_windows_end_now() -> None:
    """Back means back from the given now, in the unit that is named."""
    cases: list[tuple[dict[str, float], datetime | None]] = [
        ({"minutes_back": 90}, datetime(2026, 3, 10, 10, 30, tzinfo=UTC)),
        ({"hours_back": 1.5}, datetime(2026, 3, 10, 10, 30, tzinfo=UTC)),
        ({"days_back": 10}, datetime(2026, 2, 28, 12, tzinfo=UTC)),
        ({"days_back": 1e9}, None),
        ({"hours_back": 1, "look_back_minutes": 30}, datetime(2026, 3, 10, 10, 30, tzinfo=UTC)),
    ]
    for params, start in cases:
        assert window(**params) == Window(start, NOW)


def test_the_schema_can_be_written() -> None:
    """Editors read the same model as the run does."""
    assert "days_back" in WindowParams.model_json_schema()["properties"]
