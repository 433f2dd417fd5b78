"""`ScoredItemsStore` in an append-only CSV, for cron jobs whose only memory is a cached file.

A file's bytes never change once they are written: marks are appended, and whatever must change them (cutting off a torn
line, clearing, converting) writes a new file and puts it in the old one's place. So reading needs no lock, and a later
reading only looks at what was added. Writers take turns through a lock beside the file.

The older header `dataset_id,source_type,source_name,created_at` is read too. It has no monitor, so its rows count for
every monitor of the source `source_type:source_name`. The first mark converts such a file (the monitor of its rows
becomes `*`, which means every monitor) and keeps the original beside it as `<file>.legacy`: marks written in the old
columns would hide items from all other monitors.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from glob import escape
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from shared.core.clock import iso
from shared.core.errors import StoreError
from shared.core.private_files import PRIVATE, create_private_file, make_private_folder
from shared.core.results import Stream
from shared.files.scored_csv_reader import ANY, HEADER, LEGACY, MarkedItems, format_csv_row, read_marks

_log = logging.getLogger(__name__)

LOCK_SECONDS = 60.0
"""How long a writer waits for another one."""

LONGEST_ID = 100_000
"""Characters in an id; readers of CSV refuse fields a little longer than that."""


class CsvScoredItems:
    """Which items of a stream are done, in the CSV file at `path`; a missing file is an empty store.

    Safe for several processes at once. A line that a kill or a full disk left unfinished is no mark, and is cut off by
    the next one. Ids are any texts of 1 to 100,000 characters without NUL.

    Every method raises `StoreError`, naming file and line, when the file is malformed in any other way; nothing is
    changed then, and "all unseen" is never answered instead.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        self._marks = MarkedItems(self.path)

    def begin(self) -> None:
        """Make the file, with its header alone, where it is not there."""
        if not self.path.exists():
            with self._lock_for_writing():
                if not self._read().end:
                    self._replace([format_csv_row(HEADER)])

    def unseen(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids not marked yet, in their order, each once."""
        marks = self._read()
        mine, everyones = marks.ids_of(stream), marks.ids_of(Stream(stream.source_key, ANY))
        return [each for each in dict.fromkeys(item_ids) if each not in mine and each not in everyones]

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Append the marks that are not there yet, in one write; on the disk when it returns."""
        if stream.monitor_key == ANY:
            raise StoreError(f"{self.path}: the monitor key {ANY!r} stands for every monitor and cannot be marked")
        tail = (stream.source_key, stream.monitor_key, iso(at))
        with self._lock_for_writing():
            marks = self._read()
            mine = marks.ids_of(stream)
            fresh = [each for each in dict.fromkeys(item_ids) if each not in mine]
            rows = b"".join(self._row(each, *tail) for each in fresh)
            if rows:
                self._add(marks, rows)

    def clear(self, stream: Stream | None = None) -> int:
        """Forget the marks of a stream, or of all; how many items were forgotten.

        Rows that count for every monitor (`*`) stay unless they are asked for: `Stream(source_key, "*")`.
        """
        with self._lock_for_writing():
            marks = self._read()
            gone = marks.streams() if stream is None else [stream]
            forgotten = sum(len(marks.ids_of(each)) for each in gone)
            if stream is not None and marks.ids_of(Stream(stream.source_key, ANY)) and stream.monitor_key != ANY:
                _log.warning(
                    "%s: the marks of %s that count for every monitor stay; their monitor key is %r",
                    self.path,
                    stream.source_key,
                    ANY,
                )
            if forgotten:
                kept = (format_csv_row(row) for row, owner in read_marks(self.path, marks) if owner not in gone)
                self._replace(chain([format_csv_row(LEGACY if marks.legacy else HEADER)], kept))
                for counted in self.path.parent.glob(f"{escape(self.path.name)}.*.newest"):
                    counted.unlink()  # how many there were before: what was cleared is not missing
            return forgotten

    def stats(self) -> dict[Stream, int]:
        """Distinct items marked, by stream; rows that count for every monitor stand under the monitor `*`."""
        marks = self._read()
        return {each: len(marks.ids_of(each)) for each in marks.streams() if marks.ids_of(each)}

    def _read(self) -> MarkedItems:
        """What is in the file now; only what was added since the last time is read."""
        marks, self._marks = self._marks, MarkedItems(self.path)  # a reading that fails leaves nothing half read behind
        with self._as_store_errors():
            try:
                file = self.path.open("rb")
            except FileNotFoundError:
                return self._marks
            with file:
                if not marks.continues(file):
                    marks = MarkedItems(self.path)
                marks.read(file)
        self._marks = marks
        return marks

    def _add(self, marks: MarkedItems, rows: bytes) -> None:
        """Append to the file, or write it anew where it is missing, of the older kind, or torn at its end."""
        if not marks.end:
            self._replace([format_csv_row(HEADER), rows])
        elif marks.legacy:
            original = f"{self.path}.legacy"
            _log.warning("%s: converted from the older columns; the original is kept as %s", self.path, original)
            create_private_file(original)
            shutil.copyfile(self.path, original)
            converted = (
                format_csv_row((row[0], owner.source_key, owner.monitor_key, row[3]))
                for row, owner in read_marks(self.path, marks)
            )
            self._replace(chain([format_csv_row(HEADER)], converted, [rows]))
        elif self.path.stat().st_size > marks.end:
            _log.warning("%s:%d: an unfinished line was cut off; its item counts as unseen", self.path, marks.lines + 1)
            self._replace([self.path.read_bytes()[: marks.end], rows])
        else:
            _append(self.path, rows)

    def _row(self, item_id: str, source_key: str, monitor_key: str, at: str) -> bytes:
        fields = (item_id, source_key, monitor_key)
        if not all(fields[:2]) or "\0" in "".join(fields) or max(map(len, fields)) > LONGEST_ID:
            raise StoreError(
                f"{self.path}: expected an id and a source key of 1 to {LONGEST_ID:,} characters without NUL, "
                f"found {item_id[:80]!r} of {source_key[:80]!r}; nothing was marked"
            )
        try:
            return format_csv_row((*fields, at))
        except UnicodeEncodeError as error:
            raise StoreError(f"{self.path}: {item_id[:80]!r} is not valid Unicode; nothing was marked") from error

    def _replace(self, parts: Iterable[bytes]) -> None:
        """Put a new file in the old one's place, whole or not at all."""
        path = Path(os.path.realpath(self.path))
        new = path.with_name(f"{path.name}.new")
        create_private_file(new)
        with new.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, new)
        os.replace(new, path)
        _sync_folder(path.parent)

    @contextmanager
    def _lock_for_writing(self) -> Iterator[None]:
        """Be the only writer."""
        with self._as_store_errors():
            make_private_folder(self.path.parent)
            try:
                with FileLock(f"{self.path}.lock", LOCK_SECONDS, PRIVATE):
                    yield
            except Timeout as error:
                raise StoreError(f"{self.path}: another process has been writing for {LOCK_SECONDS:.0f} s.") from error

    @contextmanager
    def _as_store_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be used ({error.strerror or error}); make sure that it is a file in a folder that"
                " can be written, on a disk with space, and run again. What was marked before is kept."
            ) from error


def _append(path: Path, rows: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        rest = memoryview(rows)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make a new name in the folder durable, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
