"""Which folder is the project: relative paths, `.env` and state start from it.

It is found by what marks a project, never by files of one application, and the outermost one counts: a `.env` or a
`pyproject.toml` further inside moves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MARKER = ".trueline"
"""An empty file of this name decides which folder is the project, whatever else lies above or below it."""


def project_root(start: Path, fallback: Path) -> Path:
    """The project that holds the folder `start`, in this order: the outermost folder with a `.trueline`; the outermost
    with `pyproject.toml` or configurations in `configs/`, inside the Git repository where there is one; the nearest
    with `.git` or `.env`; the folder around `src/implementations`; `fallback`.
    """
    folders = _folders_above(start)
    if marked := [folder for folder in folders if (folder / MARKER).is_file()]:
        return marked[-1]
    inside = list(_inside_repository(folders))
    projects = [folder for folder in inside if _is_project(folder)]
    if projects:
        # A stray file in a home directory or in `/` makes no project of everything below.
        return ([folder for folder in projects if not _is_everyones(folder)] or projects)[-1]
    plain = (folder for folder in inside if (folder / ".git").exists() or (folder / ".env").exists())
    return next(plain, folders[0] if folders[0] != start else fallback)


def earlier_root(start: Path, fallback: Path) -> Path:
    """Where versions before 0.2 had the project: the nearest folder with `pyproject.toml`, `.git` or `.env`, also when
    that is an application's own. State may still lie there.
    """
    for folder in (start, *start.parents):
        if any((folder / marker).exists() for marker in ("pyproject.toml", ".git", ".env")):
            return folder
    return fallback


def _folders_above(start: Path) -> list[Path]:
    """`start` and the folders above it, nearest first, without those of the application that `start` lies in."""
    folders = [start, *start.parents]
    for place, folder in enumerate(folders):
        if folder.name == "implementations" and folder.parent.name == "src" and place:
            return folders[place + 2 :]
    return folders


def _inside_repository(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield folder
        if (folder / ".git").exists():
            return


def _is_project(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() or any((folder / "configs").glob("*.y*ml"))


def _is_everyones(folder: Path) -> bool:
    return folder in (Path(os.path.expanduser("~")), Path(folder.anchor))
