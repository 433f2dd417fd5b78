"""Reading the CSV of scored items: what is a mark, what is an unfinished line, and what is corrupt."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.core.errors import StoreError
from shared.core.results import Stream

HEADER = ("item_id", "source_key", "monitor_key", "scored_at")
LEGACY = ("dataset_id", "source_type", "source_name", "created_at")

ANY = "*"
"""The monitor key that stands for every monitor of a source."""

_BOM = b"\xef\xbb\xbf"
_COMPARED = 256  # bytes before the place read last; they end in a time with microseconds
_WHOLE_LINE = re.compile(rb',"?\d{4}-\d\d-\d\d[^,"\n]*"?\r?\n')
_SPECIAL = re.compile(r'[",\r\n]|^\s|\s$')


def format_csv_row(fields: Sequence[str]) -> bytes:
    """One line of CSV, with quotes where a field needs them.

    Raises:
        UnicodeEncodeError: when a field is not valid Unicode.
    """
    cells = ('"' + each.replace('"', '""') + '"' if _SPECIAL.search(each) else each for each in fields)
    return (",".join(cells) + "\n").encode()


class MarkedItems:
    """What was read of a file so far: `end` bytes in `lines` lines, all of them whole records, and what they say."""

    def __init__(self, path: Path) -> None:
        self.end = 0
        self.lines = 0
        self.legacy = False
        self._path = path
        self._found: dict[tuple[str, str], set[str]] = {}
        self._file = (0, 0)
        self._last = b""

    def ids_of(self, stream: Stream) -> Collection[str]:
        """The ids marked in a stream."""
        return self._found.get((stream.source_key, stream.monitor_key), frozenset())

    def streams(self) -> list[Stream]:
        """Every stream that was found."""
        return [Stream(*each) for each in self._found]

    def continues(self, file: BinaryIO) -> bool:
        """Whether the file begins with what was read, so that only the rest is new."""
        about = os.fstat(file.fileno())
        if (about.st_dev, about.st_ino) != self._file or about.st_size < self.end:
            return False
        file.seek(self.end - len(self._last))  # a new file may have been given an old one's number
        return file.read(len(self._last)) == self._last

    def read(self, file: BinaryIO) -> None:
        """Read on from `end`. A last line that is not finished is left alone.

        Raises:
            StoreError: when anything else is malformed, naming the line, what was found and what was expected.
        """
        about = os.fstat(file.fileno())
        self._file = (about.st_dev, about.st_ino)
        file.seek(self.end)
        if not self.end:
            self._header(file.readline())
        lines = _Lines(file, self.end, self.lines)
        try:
            self._rows(lines)
        except UnicodeDecodeError as error:
            raise self._malformed(f"bytes that are no UTF-8 ({error.reason})") from error
        except csv.Error as error:
            file.seek(self.end)
            if not lines.over or _WHOLE_LINE.search(file.read(lines.end - self.end)):
                raise self._malformed(f"a field whose quotes do not close as they should ({error})") from error
        file.seek(max(0, self.end - _COMPARED))
        self._last = file.read(min(_COMPARED, self.end))

    def _rows(self, lines: _Lines) -> None:
        owner: tuple[str, str] | None = None
        ids: set[str] = set()
        for row in csv.reader(lines, strict=True):
            if len(row) != len(HEADER) or not row[0] or not row[1] or lines.nul:
                raise self._malformed(_describe_row(row, lines.nul))
            found = (f"{row[1]}:{row[2]}", ANY) if self.legacy else (row[1], row[2])
            if found != owner:
                owner, ids = found, self._found.setdefault(found, set())
            ids.add(row[0])
            self.end, self.lines = lines.end, lines.count

    def _header(self, raw: bytes) -> None:
        text = raw.removeprefix(_BOM).decode("utf-8", "replace")
        names = tuple(each.strip().strip('"') for each in text.split(","))
        if not raw.endswith(b"\n") or names not in (HEADER, LEGACY):
            found = f"the header {text.rstrip()[:120]!r}" if raw else "an empty file"
            raise self._malformed(found, f"the header {','.join(HEADER)!r} (or the older {','.join(LEGACY)!r})")
        self.legacy = names == LEGACY
        self.end, self.lines = len(raw), 1

    def _malformed(self, found: str, expected: str = "four columns, the first two not empty") -> StoreError:
        return StoreError(
            f"{self._path}:{self.lines + 1}: found {found}, expected {expected}. Nothing was changed. Restore a copy or"
            " correct the line; deleting the file would lose every mark, and all items would be scored again."
        )


class _Lines:
    """The whole lines of a file from where it stands; `end` and `count` are where the last one given out ends.

    `over` is True when there are no more whole lines, `nul` once a line had a NUL in it.
    """

    def __init__(self, file: BinaryIO, end: int, count: int) -> None:
        self.end, self.count = end, count
        self.over = self.nul = False
        self._file = file

    def __iter__(self) -> Iterator[str]:
        for raw in self._file:
            if not raw.endswith(b"\n"):
                break
            self.end += len(raw)
            self.count += 1
            if b"\0" in raw:
                self.nul = True
            yield raw.decode()
        self.over = True


def _describe_row(row: Sequence[str], nul: bool) -> str:
    if nul:
        return "a NUL byte, as a power cut or a bad disk leaves it"
    if len(row) != len(HEADER):
        return f"{len(row)} columns ({','.join(row)[:120]!r})"
    return f"an empty {'id' if not row[0] else 'source'} ({','.join(row)[:120]!r})"


def read_marks(path: Path, marks: MarkedItems) -> Iterator[tuple[list[str], Stream]]:
    """Every record of a file that was read without fault, as its columns and the stream it marks."""
    with path.open("rb") as file:
        lines = _Lines(file, len(file.readline()), 1)
        for row in csv.reader(lines):
            if lines.end > marks.end:
                return
            yield row, Stream(f"{row[1]}:{row[2]}", ANY) if marks.legacy else Stream(row[1], row[2])
