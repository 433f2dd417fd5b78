"""The CSV of scored items: its format, its torn and corrupt states, the older header."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest

from shared.core.errors import StoreError
from shared.core.results import Stream
from shared.files.scored_csv import CsvScoredItems
from tests.contracts.adapters.stores import AWKWARD, NOW, OTHER_MONITOR, STREAM

HEADER = "item_id,source_key,monitor_key,scored_at\n"
LEGACY = "dataset_id,source_type,source_name,created_at\n"
GOOD = "a,file:athena,athena_chat,2026-03-01T12:30:00.000000Z\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scored_items.csv"


def write(path: Path, text: str | bytes) -> CsvScoredItems:
    """A store over a file with this content."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvScoredItems(path)


def test_the_format_is_the_users_own(path: Path) -> None:
    """The columns and times that existing jobs read; any CSV reader gives the ids back."""
    CsvScoredItems(path).mark(STREAM, ["a", *AWKWARD], NOW)
    assert path.read_bytes().startswith((HEADER + GOOD).encode())
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == ["a", *AWKWARD]
    assert {tuple(row[1:]) for row in rows[1:]} == {("file:athena", "athena_chat", "2026-03-01T12:30:00.000000Z")}


def test_marks_already_there_are_not_written_again(path: Path) -> None:
    """The file does not grow with every rerun."""
    store = CsvScoredItems(path)
    store.mark(STREAM, ["a"], NOW)
    before = path.read_bytes()
    store.mark(STREAM, ["a", "a"], NOW)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", [HEADER.replace("\n", "\r\n") + GOOD.replace("\n", "\r\n"), "\ufeff" + HEADER + GOOD])
def test_files_of_other_programs_are_read(path: Path, text: str) -> None:
    """Windows line ends and a byte order mark are no corruption."""
    store = write(path, text)
    assert store.unseen(STREAM, ["a", "b"]) == ["b"]
    store.mark(STREAM, ["b"], NOW)
    assert CsvScoredItems(path).unseen(STREAM, ["a", "b"]) == []


def test_nothing_is_made_by_looking(path: Path) -> None:
    """A question leaves no file behind."""
    store = CsvScoredItems(path.parent / "data" / "scored.csv")
    assert store.unseen(STREAM, ["a"]) == ["a"]
    assert store.stats() == {}
    assert list(path.parent.iterdir()) == []


def test_a_file_cut_anywhere_has_its_whole_lines(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a kill cut a write, the whole lines are marks, the torn one is none, and the next mark cuts it off."""
    ids = ["plain", "two\nlines", 'quo"te', "né"]
    CsvScoredItems(path).mark(STREAM, ids, NOW)
    whole = path.read_bytes()
    lines = [len(HEADER)]
    for each in ids:
        cell = '"' + each.replace('"', '""') + '"' if any(sign in each for sign in '"\n') else each
        lines.append(lines[-1] + len(f"{cell},file:athena,athena_chat,2026-03-01T12:30:00.000000Z\n".encode()))
    assert lines[-1] == len(whole)
    for cut in sorted({*range(lines[0], len(whole), 3), *lines, *(end - 1 for end in lines[1:])}):
        store = write(path, whole[:cut])
        done = sum(end <= cut for end in lines[1:])
        assert store.unseen(STREAM, ids) == ids[done:], cut
        assert path.read_bytes() == whole[:cut]
        caplog.clear()
        store.mark(STREAM, ["next"], NOW)
        assert ("unfinished line" in caplog.text) == (cut not in lines), cut
        assert store.unseen(STREAM, [*ids, "next"]) == ids[done:], cut
        assert CsvScoredItems(path).stats() == {STREAM: done + 1}, cut


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        (b"", ":1:", "an empty file"),
        (b"item_id,sour", ":1:", "item_id,sour"),
        (b"id,when\n", ":1:", "id,when"),
        (HEADER + GOOD + "b,file:athena,athena_chat\n" + GOOD, ":3:", "3 columns"),
        (HEADER + GOOD + GOOD[:-1] + GOOD, ":3:", "7 columns"),
        (HEADER + "\n" + GOOD, ":2:", "0 columns"),
        (HEADER + GOOD + ",file:athena,athena_chat,2026\n", ":3:", "an empty id"),
        (HEADER + GOOD + "b,,athena_chat,2026\n", ":3:", "an empty source"),
        (HEADER.encode() + GOOD.encode() + b"\0" * 40 + b"\n", ":3:", "1 columns|NUL"),
        (HEADER.encode() + b"a\0" + GOOD.encode(), ":2:", "NUL"),
        (HEADER.encode() + GOOD.encode() + b"\xff\xfe" + GOOD.encode(), ":3:", "UTF-8"),
        (HEADER + 'a"b' + GOOD + '"c"d' + GOOD, ":3:", "quotes"),
        (HEADER + '"' + GOOD + GOOD, ":2:", "quotes"),
        (HEADER + GOOD + '"lost' + GOOD, ":3:", "quotes"),
        (HEADER + '"' + "x" * 200_000 + GOOD, ":2:", "quotes"),
    ],
)
def test_a_corrupt_file_is_refused_and_left_alone(path: Path, text: str | bytes, place: str, found: str) -> None:
    """Corruption stops the run with file, line, what was found and a cure: it never means "score all again"."""
    store = write(path, text)
    before = path.read_bytes()
    for call in (
        lambda: store.unseen(STREAM, ["a"]),
        lambda: store.mark(STREAM, ["b"], NOW),
        lambda: store.clear(),
        store.stats,
        lambda: store.unseen(STREAM, ["a"]),
    ):
        with pytest.raises(StoreError, match=found) as caught:
            call()
        assert f"{path}{place}" in str(caught.value)
        assert "expected" in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_becomes_corrupt_is_refused(path: Path) -> None:
    """The tail that is read later is checked like the rest, with the right line."""
    store = write(path, HEADER + GOOD)
    assert store.unseen(STREAM, ["a"]) == []
    path.write_bytes(path.read_bytes() + b"b,c\n")
    with pytest.raises(StoreError, match=r"scored_items\.csv:3: found 2 columns"):
        store.unseen(STREAM, ["a"])


def test_a_restored_file_is_read_anew(path: Path) -> None:
    """A cache that puts another file in place is noticed, shorter or longer, at the same inode or not."""
    store = write(path, HEADER + GOOD)
    assert store.unseen(STREAM, ["a", "b"]) == ["b"]
    path.write_text(HEADER + GOOD.replace("a,", "b,", 1) + GOOD.replace("a,", "c,", 1), encoding="utf-8")
    assert store.unseen(STREAM, ["a", "b", "c"]) == ["a"]
    path.write_text(HEADER, encoding="utf-8")
    assert store.unseen(STREAM, ["a", "b", "c"]) == ["a", "b", "c"]
    path.unlink()
    assert store.unseen(STREAM, ["a"]) == ["a"]


@pytest.mark.parametrize("broken", ["", "nul\0", "x" * 100_001])
def test_ids_that_would_break_the_file_are_refused(path: Path, broken: str) -> None:
    """What could not be read back is not written, and nothing else of the call is."""
    store = CsvScoredItems(path)
    with pytest.raises(StoreError, match="nothing was marked"):
        store.mark(STREAM, ["a", broken], NOW)
    assert store.unseen(STREAM, ["a"]) == ["a"]


def test_the_longest_id_can_be_read_back(path: Path) -> None:
    """The limit on ids leaves room for what readers of CSV allow."""
    longest = ["é" * 100_000, '"' * 100_000]
    CsvScoredItems(path).mark(STREAM, longest, NOW)
    assert CsvScoredItems(path).unseen(STREAM, longest) == []


def test_the_older_header_counts_for_every_monitor(path: Path) -> None:
    """Rows without a monitor mean that no monitor of the source scores the item again."""
    store = write(path, LEGACY + "a,file,athena,2026-01-01T00:00:00+00:00\n")
    assert store.unseen(STREAM, ["a", "b"]) == ["b"]
    assert store.unseen(OTHER_MONITOR, ["a", "b"]) == ["b"]
    assert store.unseen(Stream("file:other", "athena_chat"), ["a"]) == ["a"]
    assert store.stats() == {Stream("file:athena", "*"): 1}
    assert path.read_text(encoding="utf-8").startswith(LEGACY)


def test_the_first_mark_converts_the_older_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Old rows go on counting for every monitor, new ones for their own, and the original is kept."""
    old = LEGACY + '"a,1",file,athena,2026-01-01T00:00:00+00:00\nb,file,athena,2026-01-02T00:00:00+00:00\ntorn,fi'
    store = write(path, old)
    with caplog.at_level(logging.WARNING):
        store.mark(STREAM, ["c"], NOW)
    assert "converted" in caplog.text
    assert Path(f"{path}.legacy").read_text(encoding="utf-8") == old
    assert path.read_text(encoding="utf-8") == (
        HEADER
        + '"a,1",file:athena,*,2026-01-01T00:00:00+00:00\n'
        + "b,file:athena,*,2026-01-02T00:00:00+00:00\n"
        + GOOD.replace("a,", "c,", 1)
    )
    assert store.unseen(STREAM, ["a,1", "b", "c", "d"]) == ["d"]
    assert store.unseen(OTHER_MONITOR, ["a,1", "b", "c", "d"]) == ["c", "d"]


def test_clearing_leaves_marks_of_every_monitor(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One monitor cannot forget for the others; how to forget for all of them is said."""
    store = write(path, LEGACY + "a,file,athena,2026-01-01T00:00:00+00:00\n")
    store.mark(STREAM, ["b"], NOW)
    with caplog.at_level(logging.WARNING):
        assert store.clear(STREAM) == 1
    assert "every monitor" in caplog.text
    assert store.unseen(STREAM, ["a", "b"]) == ["b"]
    assert store.clear(Stream("file:athena", "*")) == 1
    assert store.unseen(STREAM, ["a", "b"]) == ["a", "b"]


def test_the_key_of_every_monitor_cannot_be_marked(path: Path) -> None:
    """A monitor that happens to be named `*` would hide its items from all others."""
    with pytest.raises(StoreError, match="every monitor"):
        CsvScoredItems(path).mark(Stream("file:athena", "*"), ["a"], NOW)


def test_a_link_stays_a_link(path: Path) -> None:
    """A file that lives elsewhere is replaced there, with its permissions."""
    real = path.parent / "cache" / "real.csv"
    real.parent.mkdir()
    real.write_text(HEADER + GOOD, encoding="utf-8")
    real.chmod(0o640)
    path.symlink_to(real)
    assert CsvScoredItems(path).clear() == 1
    assert path.is_symlink()
    assert real.read_text(encoding="utf-8") == HEADER
    assert real.stat().st_mode & 0o777 == 0o640
