"""Where the command line starts: a file whose name nobody else has, so that another package named `shared` or
`trueline` is reported instead of being imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    if problem := name_clash():
        print(f"trueline: {problem}", file=sys.stderr)
        return 2
    from shared.wiring.cli import main as command_line  # late: only now is it known whose `shared` this is

    return command_line(argv)


def name_clash() -> str | None:
    """What is wrong when Python would import another package in place of one of Trueline's; else None."""
    home = Path(__file__).resolve().parent
    for name in ("trueline", "shared"):
        spec = PathFinder.find_spec(name, sys.path)
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
        found = next((Path(place) for place in places if place is not None), home / name)
        folder = found.parent if found.name == "__init__.py" else found
        if folder.resolve() != home / name:
            return (
                f"two packages are named {name!r}: Trueline's own at {home / name}, and {folder}, which comes first on "
                f"sys.path and hides it. Rename that package, or remove {folder.parent} from PYTHONPATH"
            )
    return None
