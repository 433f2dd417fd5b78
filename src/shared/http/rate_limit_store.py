"""Where rate limits keep their few numbers: in this process, or in a file that several processes share."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from shared.core.errors import StoreError
from shared.core.private_files import PRIVATE, create_private_file, make_private_folder

Values = dict[str, float]


class RateLimitStore(Protocol):
    """Keeps numbers by name."""

    def transaction(self) -> AbstractContextManager[Values]:
        """The numbers, for one caller at a time; changes are kept when the block ends."""


class MemoryRateLimitStore:
    """For one process: clients that share it keep to the same limits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Values = {}

    @contextmanager
    def transaction(self) -> Iterator[Values]:
        """The numbers, under a lock."""
        with self._lock:
            yield self._values


class FileRateLimitStore:
    """For several processes of one machine, whose monotonic clock they share. Losing the file only forgets the requests
    of the last minute.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock", mode=PRIVATE)

    @contextmanager
    def transaction(self) -> Iterator[Values]:
        """The numbers, under the file's lock."""
        try:
            make_private_folder(self._path.parent)
            with self._lock:
                values = self._read()
                before = dict(values)
                yield values
                if values != before:
                    create_private_file(self._path)
                    self._path.write_text(json.dumps(values), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"limits_file {str(self._path)!r}: cannot be used ({error.strerror})") from error

    def _read(self) -> Values:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # none yet, or cut by a kill
            return {}
        items = stored.items() if isinstance(stored, dict) else ()
        return {str(name): float(value) for name, value in items if isinstance(value, int | float)}
