"""Files and folders of ours hold texts of users, so only the user that runs Trueline may read them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600
"""The rights of our files, whatever the umask; also what lock files are made with."""


def make_private_folder(folder: Path) -> None:
    """Make the folder and those above it that are missing, with rights for this user alone; one that is there keeps its
    rights.
    """
    missing = [each for each in folder.parents if not each.exists()]
    for each in (*reversed(missing), folder):
        each.mkdir(0o700, exist_ok=True)


def create_private_file(path: str | os.PathLike[str]) -> None:
    """Make an empty file with rights for this user alone; one that is there keeps its content and its rights."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))


def write_private_file(path: Path, text: str) -> None:
    """Write a file, whole or not at all, with rights for this user alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    create_private_file(new)
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
