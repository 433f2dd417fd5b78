"""From paths and globs to files that can be read: what is there, which format, and whether it is whole."""

from __future__ import annotations

import codecs
import glob
import gzip
import os
import stat
import zlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.core.errors import SourceError

Format = Literal["jsonl", "json", "csv", "parquet"]

_ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_LARGEST_UNPACKED, _MOST_EXPANDED = 256 * 1024**2, 200
"""Bytes of a gzip that are no data: more than the first, and more than the second for each byte of its own. Texts that
repeat themselves give some 50.
"""
BLOCK = 131_072
"""Bytes looked at in one go: so many stay in a processor's cache while they are looked at several times."""

_LARGE = 200_000_000
LONG = 900_000
"""Bytes without a line end from which on a line counts as long; a shorter line DuckDB can take."""


class FileSourceParams(BaseModel):
    """Parameters of the source `file`, besides its window."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str | list[str] = Field(description="File, or glob such as traces/**/*.jsonl.gz; or a list of them.")
    format: Literal["auto"] | Format = Field(default="auto", description="auto: by the name's ending.")
    timestamp_field: str = Field(
        default="timestamp", min_length=1, description="Where a record keeps its time; a.b is nested."
    )

    @field_validator("path")
    @classmethod
    def _paths_are_usable(cls, value: str | list[str]) -> str | list[str]:
        patterns = [value] if isinstance(value, str) else value
        if not patterns or any(not each.strip() or "\0" in each for each in patterns):
            raise ValueError(f"expected a path or a list of paths, found {value!r}")
        return value

    @property
    def patterns(self) -> list[str]:
        """The paths and globs, as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)


@dataclass(frozen=True, slots=True)
class TextSurvey:
    """What one pass over the bytes of a text file found.

    `lines` counts lines, `blank` is True without any visible character, `first` and `last` are the first and the last
    of them.
    `odd` marks bytes that only the line-by-line reader takes (a BOM, invalid UTF-8, NUL, a lone carriage return);
    `long_lines` marks a line that may be longer than DuckDB's buffers. `size` is the number of bytes, `counts` that of
    line ends in each block of them.
    """

    lines: int = 0
    blank: bool = True
    first: str = ""
    last: str = ""
    odd: bool = False
    long_lines: bool = False
    size: int = 0
    counts: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class File:
    """One file to read: `name` is how messages call it, relative to the source's root where it lies inside."""

    path: str
    name: str
    format: Format
    shape: TextSurvey

    @property
    def is_gzip(self) -> bool:
        """Whether the name ends in .gz."""
        return self.path.lower().endswith(".gz")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The plain bytes, unpacked.

        Raises:
            SourceError: when they cannot be read to the end.
        """
        with as_source_errors(self.name), _open(self.path) as handle:
            yield handle


def find_paths(params: FileSourceParams, root: Path) -> list[str]:
    """The files that the parameters name, sorted by path, each once.

    Raises:
        SourceError: for a path that is missing, or a glob without a match.
    """
    return sorted({path for pattern in params.patterns for path in _matches(pattern, root)})


def find_files(params: FileSourceParams, root: Path, outside: Collection[str] = ()) -> list[File]:
    """The files that the parameters name, but for those outside, sorted by path, each once and each looked through.

    Raises:
        SourceError: for a path that is missing, a glob without a match, a folder, a file that cannot be read, a
            damaged gzip, or a format that the name does not tell.
    """
    paths = [path for path in find_paths(params, root) if path not in outside]
    return [_look(path, _display_name(path, root), params) for path in paths]


@contextmanager
def as_source_errors(name: str) -> Iterator[None]:
    """Turn what reading a file may raise into a SourceError that names it."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(
            f"{name}: the gzip is truncated or damaged ({error}); nothing of it can be trusted to be "
            "complete: write or fetch the file again"
        ) from error
    except PermissionError as error:
        raise SourceError(f"{name}: no permission to read it; give this user read access") from error
    except OSError as error:
        raise SourceError(f"{name}: cannot be read: {error.strerror or error}") from error


def _matches(pattern: str, root: Path) -> list[str]:
    path = os.path.abspath(os.path.join(root, pattern))
    with as_source_errors(pattern):
        if _exists(path):
            return [path]
    if not glob.has_magic(pattern):
        where = os.path.dirname(path)
        state = "is there" if os.path.isdir(where) else "is missing too"
        raise SourceError(f"{pattern}: no such file (looked for {path}; its folder {state}); correct `path`")
    found = [os.path.abspath(os.path.join(root, each)) for each in glob.glob(pattern, root_dir=root, recursive=True)]
    files = [each for each in found if not os.path.isdir(each)]
    if not files:
        also = f"; it matches {len(found)} folder(s), but no file" if found else ""
        raise SourceError(f"{pattern}: the glob matches no file under {os.path.abspath(root)}{also}; correct `path`")
    return files


def _exists(path: str) -> bool:
    """Whether something is there; unlike os.path.exists it lets a refusal be seen."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _display_name(path: str, root: Path) -> str:
    base = os.path.join(os.path.abspath(root), "")
    return path[len(base) :] if path.startswith(base) else path


def _look(path: str, name: str, params: FileSourceParams) -> File:
    with as_source_errors(name):
        mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise SourceError(f"{name}: is a folder; name its files, such as {os.path.join(name, '*.jsonl')}")
    if not stat.S_ISREG(mode):
        raise SourceError(f"{name}: is not a regular file (a pipe or a device); copy it into a file first")
    file = File(path, name, _format(name, params.format), TextSurvey())
    if file.format == "parquet":
        if file.is_gzip:
            raise SourceError(f"{name}: Parquet is compressed inside; unpack the .gz first")
        with as_source_errors(name), open(path, "rb") as handle:
            return File(path, name, file.format, TextSurvey(blank=not handle.read(1)))
    with file.open() as handle:
        return File(path, name, file.format, survey(_refuse_bombs(file, handle), _line_counter(path)))


def _format(name: str, said: str) -> Format:
    if said != "auto":
        return next(each for each in _ENDINGS.values() if each == said)
    stem = name[:-3] if name.lower().endswith(".gz") else name
    ending = os.path.splitext(stem)[1].lower()
    if ending not in _ENDINGS:
        known = ", ".join(_ENDINGS)
        raise SourceError(
            f"{name}: the ending {ending!r} names no format (known: {known}, each also with .gz except Parquet); "
            "set `format: jsonl`, json, csv or parquet"
        )
    return _ENDINGS[ending]


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    # A gzip of 0 bytes is an empty file to everyone but Python and DuckDB.
    if path.lower().endswith(".gz") and os.path.getsize(path):
        with gzip.open(path, "rb") as packed:
            yield packed  # type: ignore[misc]  # GzipFile reads bytes, but typeshed does not call it IO[bytes]
    else:
        with open(path, "rb") as plain:
            yield plain


def _refuse_bombs(file: File, handle: IO[bytes]) -> Iterator[bytes]:
    """The file's bytes in blocks."""
    packed = os.path.getsize(file.path)
    while block := handle.read(BLOCK):
        yield block
        if file.is_gzip and handle.tell() > max(_LARGEST_UNPACKED, packed * _MOST_EXPANDED):
            raise SourceError(
                f"{file.name}: its {packed:,} bytes unpack to more than {handle.tell():,}; unpack it yourself if that "
                "is right"
            )


def _line_counter(path: str) -> Callable[[bytes], int]:
    """What counts the line ends of a block: for a large file in a third of the time that bytes take."""
    if os.path.getsize(path) < _LARGE:
        return _count_lines
    import numpy as np  # late: a small file needs no more than bytes

    return lambda block: int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def _count_lines(block: bytes) -> int:
    return block.count(b"\n")


def survey(blocks: Iterable[bytes], count_lines: Callable[[bytes], int] = _count_lines) -> TextSurvey:
    """Look over all bytes once; for a gzip this also proves that it is whole (DuckDB checks no checksum)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    returns = size = without_end = 0
    counts = array("L")
    odd = long_lines = False
    first, last, end = b"", b"", b""
    for block in blocks:
        odd = odd or (not last and block.startswith(codecs.BOM_UTF8)) or b"\0" in block
        odd = odd or not _decodes(decoder, block)
        found = count_lines(block)
        without_end = 0 if found else without_end + len(block)
        long_lines = long_lines or without_end >= LONG
        counts.append(found)
        size += len(block)
        if b"\r" in block:
            returns += block.count(b"\r") - block.count(b"\r\n")
        returns -= last == b"\r" and block.startswith(b"\n")
        first = first or block.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        end = block.rstrip()[-1:] or end
        last = block[-1:]
    odd = odd or returns > 0 or bool(decoder.getstate()[0])
    lines = sum(counts) + (last not in (b"", b"\n"))
    return TextSurvey(lines, not first, first.decode("latin-1"), end.decode("latin-1"), odd, long_lines, size, counts)


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes) -> bool:
    if block.isascii() and not decoder.getstate()[0]:
        return True
    try:
        decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True
