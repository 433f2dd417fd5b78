"""The source `langfuse` when things go wrong: faults of the server, reads that are broken off, wrong settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from shared.core.errors import ConfigError, SourceError, StoreError
from tests.langfuse.fake_server.faults import BROKEN, CUT, TOO_BROAD, UNAVAILABLE, Fault, at_random, busy
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.traffic import trace, traces
from tests.langfuse.fake_server.wire import START
from tests.langfuse.source.sourcing import read, source_of

OBSERVATIONS = "GET /api/public/v2/observations"


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse() as found:
        fill(found)
        yield found


COUNT = 700
KINDS = (BROKEN, UNAVAILABLE, CUT, TOO_BROAD, busy(20))
# The first read asks narrowly what the server can do; no gateway gives up on that.
CASES = [(fault, place) for fault in KINDS for place in range(0, 6, 2) if fault is not TOO_BROAD or place]


def fill(server: FakeLangfuse, count: int = COUNT, apart: float = 1.0) -> None:
    for rows in traces(count, 3, apart=apart, until=START - timedelta(minutes=15)):
        server.observations.add(*rows)


def whole(items: dict[str, Any], count: int = COUNT) -> bool:
    return len(items) == count and all(len(item.metadata["spans"]) == 3 for item in items.values())


@pytest.mark.parametrize(("fault", "place"), CASES, ids=lambda each: str(getattr(each, "status", each)))
def test_a_fault_at_any_request_loses_nothing(server: FakeLangfuse, tmp_path: Path, fault: Fault, place: int) -> None:
    asked = iter(range(100))
    server.faults.chance = lambda request: (
        fault if request.path.endswith("/observations") and next(asked) == place else None
    )
    assert whole(read(server, tmp_path)[0])


@pytest.mark.parametrize("seed", range(3))
def test_random_faults_lose_nothing_and_double_nothing(server: FakeLangfuse, tmp_path: Path, seed: int) -> None:
    server.faults.chance = at_random(seed, 0.2, BROKEN, UNAVAILABLE, CUT, busy(3))
    assert whole(read(server, tmp_path, tries=12)[0])


def test_limits_of_the_plan_are_kept(tmp_path: Path) -> None:
    with run_fake_langfuse(Plan(limits={"general": 4})) as server:
        fill(server)
        assert whole(read(server, tmp_path, hours_back=2, limits={"general": 4})[0])
        assert server.windows.refusals == 0


def test_a_read_that_is_broken_off_goes_on_where_it_stood(tmp_path: Path) -> None:
    with run_fake_langfuse() as server:
        fill(server, 2000, apart=40.0)  # 6 pages over 22 hours
        asked = iter(range(100))
        server.faults.chance = lambda request: BROKEN if next(asked) >= 7 else None
        with pytest.raises(SourceError, match="answered 500"):
            read(server, tmp_path, days_back=2)
        (left,) = (tmp_path / "data" / "state").glob("*.reading")
        assert left.stat().st_mode & 0o077 == 0
        server.faults.chance = lambda request: None
        server.asked.clear()
        late = trace(9000, start=START - timedelta(minutes=12))
        server.observations.add(*late, visible_at=START + timedelta(minutes=5))
        server.clock.advance(600)
        items, _ = read(server, tmp_path, days_back=2)
        assert whole(items, 2001)  # one came late, to a part of the window that was read already
        assert server.asked[OBSERVATIONS] == 4  # which read is served, long metadata, the last page, what came since
        assert list((tmp_path / "data" / "state").iterdir()) == []


def test_what_was_left_too_long_ago_is_read_anew(server: FakeLangfuse, tmp_path: Path) -> None:
    asked = iter(range(100))
    server.faults.chance = lambda request: BROKEN if next(asked) >= 4 else None
    with pytest.raises(SourceError):
        read(server, tmp_path)
    server.faults.chance = lambda request: None
    server.clock.advance(2 * 3600)
    assert read(server, tmp_path) == ({}, [])


def test_a_damaged_file_is_made_anew(server: FakeLangfuse, tmp_path: Path) -> None:
    server.faults.chance = lambda request: BROKEN if server.asked[OBSERVATIONS] > 4 else None
    with pytest.raises(SourceError):
        read(server, tmp_path)
    (left,) = (tmp_path / "data" / "state").glob("*.reading")
    for each in (tmp_path / "data" / "state").iterdir():
        each.unlink()
    left.write_bytes(b"no database at all " * 1000)
    server.faults.chance = lambda request: None
    assert whole(read(server, tmp_path)[0])


def test_two_readers_of_one_source_do_not_meet(server: FakeLangfuse, tmp_path: Path) -> None:
    first = source_of(server, tmp_path).fetch(START)
    next(first)
    assert whole(read(server, tmp_path)[0])
    assert len(list(first)) == COUNT - 1


def test_a_folder_that_cannot_be_written_is_told(server: FakeLangfuse, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot be put aside"):
        read(server, tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secret_key": SecretStr("sk-lf-wrong")}, "the keys do not belong to a project"),
        ({"base_url": "http://127.0.0.1:9", "tries": 1}, "cannot be reached"),
    ],
)
def test_a_wrong_key_or_host_is_said_without_the_key(
    server: FakeLangfuse, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises((ConfigError, SourceError), match=said) as caught:
        read(server, tmp_path, **given)
    assert "sk-lf" not in str(caught.value)
    assert list((tmp_path / "data" / "state").iterdir()) == []
    assert not [each for each in threading.enumerate() if each.name == "langfuse"]


def test_the_file_of_limits_lies_in_the_project(server: FakeLangfuse, tmp_path: Path) -> None:
    """Two processes that are started in different folders share it."""
    assert whole(read(server, tmp_path, limits_file="state/limits.json")[0])
    assert (tmp_path / "state" / "limits.json").exists()


def test_a_server_that_leads_in_a_circle_ends_the_read(server: FakeLangfuse, tmp_path: Path) -> None:
    server.observations.endless = "same"
    with pytest.raises(SourceError, match="circle"):
        read(server, tmp_path, fields=["io"])


READS = {"4.60.0": "/api/public/v2/observations", "3.225.3": "/api/public/observations"}


@pytest.mark.parametrize("version", READS)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"null", "has no rows"),
        (b'{"data": [null]}', "a row without id and startTime"),
        (b'{"data": [{"id": "o"}], "meta": {"totalPages": 1}}', "a row without id and startTime"),
        (
            b'{"data": [{"id": "o", "traceId": "t", "startTime": "soon"}], "meta": {"totalPages": 1}}',
            "observation o of trace t: expected a time",
        ),
    ],
)
def test_an_answer_that_is_no_list_of_rows_is_told(tmp_path: Path, version: str, body: bytes, said: str) -> None:
    with run_fake_langfuse(Plan(version)) as server:
        server.faults.chance = lambda request: Fault(200, body) if request.path == READS[version] else None
        with pytest.raises(SourceError, match=said):
            read(server, tmp_path)


def test_a_list_that_does_not_say_how_long_it_is_is_not_taken_for_whole(tmp_path: Path) -> None:
    with run_fake_langfuse(Plan("3.225.3")) as server:
        body = b'{"data": [{"id": "o", "traceId": "t", "startTime": "2026-11-20T11:30:00Z"}], "meta": {}}'
        server.faults.chance = lambda request: Fault(200, body) if request.path == READS["3.225.3"] else None
        with pytest.raises(SourceError, match="does not say how many pages there are"):
            read(server, tmp_path)
