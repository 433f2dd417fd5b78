"""What is committed is about the product: no registry, no machine, and no application inside shared."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.houseplan import ROOT, SRC, committed_files, short

# Written in two halves, or this file would be the first to name them.
REGISTRIES = [
    "py" "pi.org", "pythonhosted" ".org", "npm" "js.org", "crates" ".io", "anaconda" ".org", "conda" ".io",
]  # fmt: skip
# Folders that every machine has, or that a path may begin with for good reasons.
COMMON = {"/", "/app", "/builds", "/code", "/github", "/home", "/mnt", "/opt", "/private", "/root", "/src", "/srv"}
COMMON |= {"/tmp", "/usr", "/usr/local", "/usr/src", "/var", "/Users", "/workspace"}
HOMES = re.compile(r"(?<![\w.])/(?:home|Users)/[\w.-]+/|(?<![\w./~])/[r]oot/")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text file; nothing of a binary one."""
    content = path.read_bytes()
    if b"\0" not in content[:8000]:
        yield from enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1)


def report(pattern: re.Pattern[str], paths: list[Path]) -> str:
    """Where the pattern is found, a line each."""
    return "\n".join(
        f"{short(path)}:{number}: {line.strip()[:120]}"
        for path in paths
        for number, line in lines_of(path)
        if pattern.search(line)
    )


def test_no_file_names_a_registry() -> None:
    """Where packages come from is a setting of the machine that installs them, never of the product."""
    pattern = re.compile("|".join(re.escape(host) for host in REGISTRIES), re.IGNORECASE)
    assert not (found := report(pattern, committed_files())), found


def test_no_file_names_a_path_of_a_machine() -> None:
    """A path that only exists where it was written breaks for everybody else."""
    assert not (found := report(HOMES, committed_files())), found
    places = [str(place) for place in (ROOT, ROOT.parent) if str(place) not in COMMON]
    if places:
        pattern = re.compile(r"(?<![\w.])(?:" + "|".join(re.escape(place) for place in places) + r")(?![\w-])")
        assert not (found := report(pattern, committed_files())), found


def test_locks_hold_versions_and_hashes_only() -> None:
    """A lock says what, never from where: no address, no index, no path, and no package without its hashes."""
    for lock in sorted((ROOT / "requirements").rglob("*.txt")):
        text = lock.read_text(encoding="utf-8")
        assert not re.search(r"://|^-|^\s*#| @ |/", text, re.MULTILINE), f"{short(lock)} names a place"
        packages = re.split(r"\n(?=\S)", text.strip())
        loose = [entry.split()[0] for entry in packages if "==" not in entry or "--hash=sha256:" not in entry]
        assert not loose, f"{short(lock)}: without version or hash: {loose}"


def test_shared_names_no_application() -> None:
    """`shared` serves every application alike, so the name of none may stand in it."""
    applications = [path.parent.name for path in sorted((SRC / "implementations").glob("*/__init__.py"))]
    if applications:
        pattern = re.compile("|".join(re.escape(name) for name in applications), re.IGNORECASE)
        inside = [path for path in (SRC / "shared").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert not (found := report(pattern, inside)), found
