"""Which applications there are: folders of the namespace package `implementations`, and entry points.

A project holds its applications under `src/implementations/<name>/`; an installed distribution names its own as entry
points of the group `trueline.applications`, each `name = "package.module"`. The module lists METRICS and EXTRACTORS,
and may have a folder `config/` beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError

ENTRY_POINTS = "trueline.applications"
NAMESPACE = "implementations"
_SOURCE = Path(__file__).resolve().parents[3]  # the folder that holds `shared` and `trueline`


@dataclass(frozen=True, slots=True)
class Application:
    """A monitored application: the name that its metrics and extractors begin with, and its module."""

    name: str
    module: str

    @property
    def config_folder(self) -> Path | None:
        """The folder `config/` beside the module, None where there is none; the module itself is not imported."""
        spec = attempt(find_spec, self.module)
        if spec is None or isinstance(spec, Exception) or spec.origin is None:
            return None
        folder = Path(spec.origin).parent / "config"
        return folder if folder.is_dir() else None


def add_project_to_path(project: Path) -> None:
    """Make the modules of a project importable: those under its `src`, those beside its files, and those of the working
    directory. They come last on `sys.path`, so that they hide nothing.

    Raises:
        ConfigError: when one of them has the name of a package of Trueline's.
    """
    for folder in (project / "src", project, Path.cwd()):
        _refuse_name_clash(folder)
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.append(str(folder))


def _refuse_name_clash(folder: Path) -> None:
    if (folder / "trueline_main.py").exists():  # a checkout of Trueline
        return
    for name in ("shared", "trueline"):
        ours, theirs = _SOURCE / name, folder / name
        if theirs.resolve() != ours and (any(theirs.glob("*.py")) or any(theirs.glob("*/__init__.py"))):
            raise ConfigError(
                f"two packages are named {name!r}: Trueline's own at {ours}, and {theirs}. Python can import only one "
                "of them: rename the project's"
            )


def applications() -> list[Application]:
    """Every application that can be found on `sys.path`, sorted by name.

    Raises:
        ConfigError: when a file hides the applications of other projects, or two applications have one name.
    """
    found: dict[str, Application] = {}
    for each in (*_namespace_applications(), *_installed_applications(tuple(sys.path))):
        other = found.setdefault(each.name, each)
        if other != each:
            both = f"{other.module!r} and {each.module!r}"
            raise ConfigError(f"two applications are named {each.name!r}: {both}. Rename the entry point of one")
    return [found[name] for name in sorted(found)]


@cache
def _installed_applications(path: tuple[str, ...]) -> tuple[Application, ...]:
    """Those that distributions on `sys.path` declare as entry points: looked up once for each, as it takes as long as
    all the rest of building a monitor.
    """
    return tuple(Application(point.name, point.module) for point in entry_points(group=ENTRY_POINTS))


def _namespace_applications() -> Iterator[Application]:
    """The folders of the namespace package, in whichever project they lie."""
    for file in (Path(folder, NAMESPACE, "__init__.py") for folder in sys.path):
        if file.exists():
            raise ConfigError(
                f"{file.resolve()} hides the applications of every other project: `{NAMESPACE}` is a namespace package "
                "that projects share. Delete that file; the `__init__.py` of each application below it stays"
            )
    spec = find_spec(NAMESPACE)
    for portion in (spec and spec.submodule_search_locations) or ():
        for file in Path(portion).glob("*/__init__.py"):
            yield Application(file.parent.name, f"{NAMESPACE}.{file.parent.name}")
