"""docs/architecture.md is the code's own picture: its rooms, arrows, wings and files are those of the tree."""

import ast
import re
from pathlib import Path

from tests.house.houseplan import ROOT, SRC, python_files, tree

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SHARED = SRC / "shared"
ARROW = re.compile(r"^ +(\w+) --> (\w+)$", re.MULTILINE)


def folders(parent: Path) -> set[str]:
    """The packages of ours below a folder."""
    return {path.parent.name for path in parent.glob("*/__init__.py")}


def imports() -> set[tuple[str, str]]:
    """Which room imports which, by the code's own import statements."""
    found = set()
    for path in python_files(SHARED):
        room = path.relative_to(SHARED).parts[0]
        for node in ast.walk(tree(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            found |= {(room, name.split(".")[1]) for name in names if name.startswith("shared.")}
    return {(room, other) for room, other in found if room != other}


def reachable(arrows: set[tuple[str, str]], room: str) -> set[str]:
    """The rooms that a room knows, by one arrow or several."""
    direct = {end for start, end in arrows if start == room}
    return direct.union(*(reachable(arrows, each) for each in direct))


def test_every_room_is_in_the_picture() -> None:
    shown = {room for arrow in ARROW.findall(PAGE) for room in arrow}
    assert shown == folders(SHARED)


def test_every_arrow_is_an_import_and_every_import_an_arrow_or_a_way_along_arrows() -> None:
    arrows, real = set(ARROW.findall(PAGE)), imports()
    assert arrows <= real, f"not in the code: {sorted(arrows - real)}"
    missing = [(room, other) for room, other in real if other not in reachable(arrows, room)]
    assert not missing, f"not in the picture: {sorted(missing)}"


def test_no_arrow_follows_from_others() -> None:
    arrows = set(ARROW.findall(PAGE))
    spare = [each for each in arrows if each[1] in reachable(arrows - {each}, each[0])]
    assert not spare, f"to be left out: {sorted(spare)}"


def test_every_wing_has_its_row() -> None:
    wings = {f"{room}/{wing}" for room in folders(SHARED) for wing in folders(SHARED / room)}
    shown = set(re.findall(r"^\| `([a-z_]+/[a-z_]+)/` \|", PAGE, re.MULTILINE))
    assert shown == wings


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", PAGE))
    assert named
    missing = [name for name in named if not (SHARED / name).exists() and not (ROOT / name).exists()]
    assert not missing, f"no such files: {sorted(missing)}"
