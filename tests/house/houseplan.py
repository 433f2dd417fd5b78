"""What every gate of the house reads: where the sources are, and their syntax trees."""

import ast
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
SCRIPTS = ROOT / "scripts"

# Where a checkout holds what is not ours, for when there is no git to ask.
_NOT_SOURCE = {".git", ".venv", ".venv-bridges", ".venv-names", ".venv-peers", "__pycache__"}
_NOT_SOURCE |= {".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache"}


def python_files(*folders: Path) -> list[Path]:
    """Every Python file below the folders, in a fixed order."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """The dotted name of a file under src."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def short(path: Path) -> str:
    """A path as one says it, from the top of the checkout."""
    return path.relative_to(ROOT).as_posix()


def committed_files() -> list[Path]:
    """What is committed or about to be; without git, all that is not a cache."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        return sorted(_walk())
    return sorted(path for name in listed if name and (path := ROOT / name).is_file())


def _walk() -> Iterator[Path]:
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in _NOT_SOURCE]
        yield from (Path(folder) / name for name in names)
