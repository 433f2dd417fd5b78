"""The promises of `ScoredItemsStore`, on every store."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.errors import StoreError
from shared.core.results import Stream
from shared.core.state.run_stores import ScoredItemsStore
from tests.contracts.adapters.children import batch
from tests.contracts.adapters.processes import line, rest, said, started
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import (
    AWKWARD,
    DURABLE,
    EVERY,
    FILES,
    NOW,
    OTHER_MONITOR,
    OTHER_SOURCE,
    STREAM,
)

_numbers = itertools.count()


@pytest.fixture(params=EVERY)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScoredItemsStore]:
    with EVERY[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=DURABLE)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        postgres_at(tmp_path)  # before other processes ask for it
    return str(request.param)


@pytest.fixture(params=FILES)
def file_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_new_store_has_seen_nothing(store: ScoredItemsStore) -> None:
    """A first run scores everything."""
    assert store.unseen(STREAM, ["b", "a"]) == ["b", "a"]
    assert store.stats() == {}


def test_unseen_keeps_the_order_and_gives_each_once(store: ScoredItemsStore) -> None:
    """Strategies draw from the pool in the source's order, and duplicates in a batch are scored once."""
    store.mark(STREAM, ["c"], NOW)
    assert store.unseen(STREAM, ["d", "c", "a", "d", "b", "a"]) == ["d", "a", "b"]


def test_marking_twice_is_harmless(store: ScoredItemsStore) -> None:
    """After a crash the same items are marked again: neither answers nor counts change."""
    for ids in (["a", "b"], ["b", "a", "a"], []):
        store.mark(STREAM, ids, NOW)
    assert store.unseen(STREAM, ["a", "b", "c"]) == ["c"]
    assert store.stats() == {STREAM: 2}


def test_streams_do_not_mix(store: ScoredItemsStore) -> None:
    """A second monitor on a source, or the same monitor on another source, scores for itself."""
    store.mark(STREAM, ["a"], NOW)
    store.mark(OTHER_MONITOR, ["b"], NOW)
    assert store.unseen(STREAM, ["a", "b"]) == ["b"]
    assert store.unseen(OTHER_MONITOR, ["a", "b"]) == ["a"]
    assert store.unseen(OTHER_SOURCE, ["a", "b"]) == ["a", "b"]
    assert store.stats() == {STREAM: 1, OTHER_MONITOR: 1}


def test_awkward_ids_survive(store: ScoredItemsStore) -> None:
    """Ids are whatever the source gives: commas, quotes, line breaks, other scripts, ten kilobytes."""
    store.mark(STREAM, AWKWARD, NOW)
    near = [each + "." for each in AWKWARD]
    assert store.unseen(STREAM, [*AWKWARD, *near]) == near
    assert store.stats() == {STREAM: len(AWKWARD)}


def test_awkward_streams_survive(store: ScoredItemsStore) -> None:
    """Names of sources and monitors are free text too."""
    odd, near = Stream('file:a,"b"\n', "m, one"), Stream('file:a,"b"', "m, one")
    store.mark(odd, ["a"], NOW)
    assert store.unseen(odd, ["a"]) == []
    assert store.unseen(near, ["a"]) == ["a"]
    assert store.stats() == {odd: 1}


def test_clear_forgets_one_stream_and_counts(store: ScoredItemsStore) -> None:
    """Clearing one monitor leaves the others' memory alone."""
    store.mark(STREAM, ["a", "b"], NOW)
    store.mark(OTHER_MONITOR, ["a"], NOW)
    assert store.clear(STREAM) == 2
    assert store.unseen(STREAM, ["a", "b"]) == ["a", "b"]
    assert store.unseen(OTHER_MONITOR, ["a"]) == []
    assert store.clear(STREAM) == 0


def test_clear_forgets_all_and_counts(store: ScoredItemsStore) -> None:
    """Clearing everything says how much was forgotten; marking goes on afterwards."""
    store.mark(STREAM, ["a", "b"], NOW)
    store.mark(OTHER_SOURCE, ["a"], NOW)
    assert store.clear() == 3
    assert store.stats() == {}
    store.mark(STREAM, ["a"], NOW)
    assert store.unseen(STREAM, ["a", "b"]) == ["b"]


def test_many_ids_at_once(store: ScoredItemsStore) -> None:
    """No limit on variables in a statement, or on the length of a write, shows through."""
    ids = [f"item-{number}" for number in range(40_000)]
    store.mark(STREAM, ids[::2], NOW)
    assert store.unseen(STREAM, ids) == ids[1::2]


_ids = st.lists(
    st.sampled_from(["a", "b", "c,d", 'e"', "f\ng", "h\r"]) | st.text("xyz,\"'\n\r é", min_size=1), max_size=6
)
_steps = st.lists(
    st.tuples(st.sampled_from(["mark", "unseen", "clear"]), st.sampled_from(["m1", "m2"]), _ids), max_size=12
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_behaves_like_sets(store: ScoredItemsStore, steps: list[tuple[str, str, list[str]]]) -> None:
    """Any sequence of calls answers as a set for each stream would."""
    source = f"file:{next(_numbers)}"
    model: dict[Stream, set[str]] = {}
    for step, monitor, ids in steps:
        stream = Stream(source, monitor)
        marked = model.setdefault(stream, set())
        if step == "mark":
            store.mark(stream, ids, NOW)
            marked.update(ids)
        elif step == "unseen":
            assert store.unseen(stream, ids) == [each for each in dict.fromkeys(ids) if each not in marked]
        else:
            assert store.clear(stream) == len(marked)
            marked.clear()
    found = {stream: count for stream, count in store.stats().items() if stream.source_key == source}
    assert found == {stream: len(ids) for stream, ids in model.items() if ids}


def test_a_second_object_sees_the_marks(kind: str, tmp_path: Path) -> None:
    """What is marked is there for the next run, and at once for one that is already open."""
    with DURABLE[kind](tmp_path) as early:
        assert early.unseen(STREAM, ["a"]) == ["a"]
        with DURABLE[kind](tmp_path) as writer:
            writer.mark(STREAM, ["a", *AWKWARD], NOW)
        assert early.unseen(STREAM, ["a", *AWKWARD, "b"]) == ["b"]
    with DURABLE[kind](tmp_path) as late:
        assert late.unseen(STREAM, ["a", *AWKWARD, "b"]) == ["b"]
        assert late.clear(STREAM) == len(AWKWARD) + 1


def test_two_processes_marking_at_once_lose_nothing(kind: str, tmp_path: Path) -> None:
    """Two cron jobs that overlap keep each other's marks."""
    with started("mark", kind, tmp_path, "left", 25) as left, started("mark", kind, tmp_path, "right", 25) as right:
        for child in (left, right):
            assert rest(child) == [str(number) for number in range(25)]
            assert child.wait() == 0
    ids = [each for prefix in ("left", "right") for number in range(25) for each in batch(prefix, number)]
    with DURABLE[kind](tmp_path) as store:
        assert store.unseen(STREAM, ids) == []
        assert store.stats() == {STREAM: len(ids)}


def test_reading_while_another_process_marks(kind: str, tmp_path: Path) -> None:
    """A reader sees whole marks only, and never loses one that it has seen."""
    ids = [each for number in range(40) for each in batch("busy", number)]
    with started("mark", kind, tmp_path, "busy", 40) as child, DURABLE[kind](tmp_path) as store:
        before = set(ids)
        while before and child.poll() is None:
            after = set(store.unseen(STREAM, ids))
            assert after <= before
            assert store.stats().get(STREAM, 0) <= len(ids)
            before = after
        assert rest(child) == [str(number) for number in range(40)]
        assert store.unseen(STREAM, ids) == []


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_in_mid_write_leaves_whole_marks(kind: str, seed: int, tmp_path: Path) -> None:
    """After kill -9 every confirmed mark is there, no half id is, and the next process goes on."""
    rng = random.Random(seed)
    confirmed = -1
    for attempt in range(2):
        with started("mark", kind, tmp_path, f"try{attempt}", 100_000) as child:
            numbers = [int(line(child)) for _ in range(rng.randrange(1, 6))]
            time.sleep(rng.random() * 0.01)
            child.kill()
            confirmed = max([*numbers, *map(int, rest(child))])
        everything = [each for number in range(confirmed + 3) for each in batch(f"try{attempt}", number)]
        done = [each for number in range(confirmed + 1) for each in batch(f"try{attempt}", number)]
        with DURABLE[kind](tmp_path) as store:
            assert store.unseen(STREAM, done) == []
            marked = len(everything) - len(store.unseen(STREAM, everything))
            store.mark(STREAM, ["after the kill"], NOW)
            assert store.clear(STREAM) == marked + 1


def test_a_full_disk_keeps_what_was_marked(file_kind: str, tmp_path: Path) -> None:
    """A write that fails is said with the file's name and a cure, and takes nothing back."""
    with DURABLE[file_kind](tmp_path) as store:
        store.mark(STREAM, ["before"], NOW)
    count, message = said("fill_up", file_kind, tmp_path, 300_000).split("\n", 1)
    assert str(tmp_path) in message
    assert "space" in message
    done = [each for number in range(int(count)) for each in batch("full", number)]
    with DURABLE[file_kind](tmp_path) as store:
        assert store.unseen(STREAM, ["before", *done]) == []
        store.mark(STREAM, ["after"], NOW)
        assert store.unseen(STREAM, ["after"]) == []


def test_a_folder_that_cannot_be_written_is_said(file_kind: str) -> None:
    """A read-only data folder stops the run with the path and what to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with DURABLE[file_kind](folder) as store:
            store.mark(STREAM, ["a"], NOW)
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        message = said("mark_unprivileged", file_kind, folder)
        folder.chmod(0o755)
    assert name in message
    assert "can be written" in message or "writable" in message


def test_a_path_below_a_file_is_said(file_kind: str, tmp_path: Path) -> None:
    """A folder that cannot be made is a clear error, not a traceback."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"file.below"), DURABLE[file_kind](tmp_path / "file" / "below") as store:
        store.mark(STREAM, ["a"], NOW)


@pytest.mark.parametrize("name", ["scored_items.csv", "state.db"])
def test_a_folder_in_the_files_place_is_said(name: str, tmp_path: Path) -> None:
    """A path that is a folder is named."""
    (tmp_path / name).mkdir()
    kind = "csv" if name.endswith("csv") else "sqlite"
    with pytest.raises(StoreError, match=name), DURABLE[kind](tmp_path) as store:
        store.unseen(STREAM, ["a"])


def test_relative_paths_stay_where_they_were(file_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that changes its folder does not change its memory."""
    monkeypatch.chdir(tmp_path)
    with DURABLE[file_kind](Path("data")) as store:
        monkeypatch.chdir(os.sep)
        store.mark(STREAM, ["a"], NOW)
    with DURABLE[file_kind](tmp_path / "data") as store:
        assert store.unseen(STREAM, ["a"]) == []


def test_ids_that_cannot_be_stored_are_refused(kind: str, tmp_path: Path) -> None:
    """Half a surrogate pair is no text; nothing else of the call is marked either."""
    with DURABLE[kind](tmp_path) as store:
        with pytest.raises(StoreError):
            store.mark(STREAM, ["a", "half \ud83d"], NOW)
        assert store.unseen(STREAM, ["a"]) == ["a"]
