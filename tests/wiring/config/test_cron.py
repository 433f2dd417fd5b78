"""`schedule.cron` means what crontab(5) says, whatever APScheduler makes of the same text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.wiring.config.cron import cron_trigger
from tests.wiring.project import Project

START = datetime(2026, 3, 1, tzinfo=UTC)  # a Sunday


def times(text: str, count: int) -> list[str]:
    """The first times of a schedule, as `weekday day.month hour:minute`."""
    trigger, now, found = cron_trigger(text), START, []
    for _ in range(count):
        fired = trigger.get_next_fire_time(None, now)
        found.append(f"{fired:%a %d.%m %H:%M}")
        now = fired + timedelta(minutes=1)
    return found


@pytest.mark.parametrize(
    "text, expected",
    [
        ("*/20 * * * *", ["Sun 01.03 00:00", "Sun 01.03 00:20", "Sun 01.03 00:40"]),
        ("5,35 9-10 * * *", ["Sun 01.03 09:05", "Sun 01.03 09:35", "Sun 01.03 10:05"]),
        ("0 0 * * 0", ["Sun 01.03 00:00", "Sun 08.03 00:00"]),
        ("0 0 * * 7", ["Sun 01.03 00:00", "Sun 08.03 00:00"]),
        ("0 0 * * 1", ["Mon 02.03 00:00", "Mon 09.03 00:00"]),
        ("0 0 * * SUN", ["Sun 01.03 00:00", "Sun 08.03 00:00"]),
        ("0 0 * * 5-7", ["Sun 01.03 00:00", "Fri 06.03 00:00", "Sat 07.03 00:00"]),
        ("0 0 * * sat-sun", ["Sun 01.03 00:00", "Sat 07.03 00:00"]),
        ("0 0 * * mon-fri/2", ["Mon 02.03 00:00", "Wed 04.03 00:00", "Fri 06.03 00:00", "Mon 09.03 00:00"]),
        ("0 0 * * */3", ["Sun 01.03 00:00", "Wed 04.03 00:00", "Sat 07.03 00:00"]),
        ("0 0 * * 2,thu", ["Tue 03.03 00:00", "Thu 05.03 00:00"]),
        ("0 0 13 * 5", ["Fri 06.03 00:00", "Fri 13.03 00:00", "Fri 20.03 00:00"]),
        ("0 0 31 2 1", ["Mon 01.02 00:00"]),  # Mondays in February: one of the two day fields is enough
        ("0 0 13 * *", ["Fri 13.03 00:00", "Mon 13.04 00:00"]),
        ("0 0 1 jan,jul-sep/2 *", ["Wed 01.07 00:00", "Tue 01.09 00:00", "Fri 01.01 00:00"]),
        ("0 0 29 2 *", ["Tue 29.02 00:00"]),
        ("  0   12 * * *  ", ["Sun 01.03 12:00"]),
    ],
)
def test_a_schedule_runs_when_cron_would(text: str, expected: list[str]) -> None:
    """Weekday 0 is not Monday, a step behind a name counts, and two restricted day fields are an either-or."""
    assert times(text, len(expected)) == expected


@pytest.mark.parametrize(
    "text, says",
    [
        ("99 25 32 13 9", "weekday '9'"),
        ("60 * * * *", "60"),
        ("* 24 * * *", "24"),
        ("* * 0 * *", "0"),
        ("* * 32 * *", "32"),
        ("* * * 13 *", "13"),
        ("* * * * 8", "weekday '8'"),
        ("* * * * 5-1", "weekday '5-1'"),
        ("* * * * 1-8", "weekday '1-8'"),
        ("* * * * */0", "steps"),
        ("*/0 * * * *", "higher than 0"),
        ("*/60 * * * *", "60"),
        ("5-1 * * * *", "minimum"),
        ("1,,2 * * * *", "Unrecognized"),
        ("* * * foo *", "'foo' is none of"),
        ("* * * * funday", "'funday' is none of"),
        ("* * * mon *", "'mon' is none of"),
        ("* * * * mon5", "weekday 'mon5'"),
        ("x * * * *", "Unrecognized"),
        ("-5 * * * *", "Unrecognized"),
        ("0 0 31 2 *", "never runs"),
        ("0 0 30 2 *", "never runs"),
        ("0 0 31 4,6,9,11 *", "never runs"),
        ("0 0 * * * *", "five fields"),
        ("@hourly", "five fields"),
        ("", "five fields"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, says: str) -> None:
    """A monitor whose schedule never comes would look like one with nothing to do."""
    with pytest.raises(ValueError, match="cron") as caught:
        cron_trigger(text)
    assert says in str(caught.value)


def test_a_wrong_schedule_is_shown_by_check(tmp_path: Path) -> None:
    """With its line and its text, before anything runs."""
    project = Project(tmp_path)
    good = (tmp_path / "m.yaml").read_text()
    project.write("m.yaml", good + "schedule: {cron: '99 25 32 13 9'}\n")
    done = project.run("check", "m.yaml")
    assert done.returncode == 2 and "m.yaml:6" in done.stderr and "'99 25 32 13 9'" in done.stderr
    project.write("m.yaml", good + "schedule: {cron: '0 6 * * mon-fri'}\n")
    done = project.run("check", "m.yaml")
    assert done.returncode == 0 and "0 6 * * mon-fri" in done.stdout, done.stderr
