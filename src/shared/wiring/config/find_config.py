"""Where a configuration is: a path, or a name from `configs/` or an application's `config/`."""

from __future__ import annotations

from pathlib import Path

from shared.core.errors import UsageError
from shared.core.registry import hint
from shared.wiring.config.applications import applications
from shared.wiring.config.project_root import project_root


def config_roots() -> list[Path]:
    """The project around the working directory, then the checkout that this code runs from."""
    here, checkout = project_root(Path.cwd(), Path.cwd()), Path(__file__).resolve().parents[4]
    return [here] if here == checkout or not (checkout / "configs").is_dir() else [here, checkout]


def known_configs() -> dict[str, Path]:
    """Every configuration that can be called by name; the first place wins."""
    found: dict[str, Path] = {}
    for root in config_roots():
        for pattern in ("configs/*.y*ml", "src/implementations/*/config/*.y*ml"):
            for path in sorted(root.glob(pattern)):
                found.setdefault(path.stem, path)
    for folder in filter(None, (app.config_folder for app in applications())):
        for path in sorted(folder.glob("*.y*ml")):
            found.setdefault(path.stem, path)
    return found


def find_config(name: str) -> Path:
    """The file that a path or name means.

    Raises:
        UsageError: when there is none, with the nearest name.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = known_configs()
    stem = path.stem if path.suffix in (".yaml", ".yml") else path.name
    if path.parent == Path() and stem in known:
        return known[stem]
    what = "is a folder" if path.is_dir() else "is not a file"
    order = "The configuration stands first: `trueline runs CONFIG show ID`. " if name == "show" else ""
    raise UsageError(f"config {name!r}: {what}, and not a name in configs/. {order}{hint(stem, known)}")


def display_path(path: Path) -> str:
    """A configuration's file as errors and reports call it: relative to the project where that is shorter."""
    for root in [*config_roots(), Path.cwd()]:
        if root.parent == root:  # "/" would only lose the slash
            continue
        try:
            return str(path.resolve().relative_to(root.resolve()))
        except ValueError:
            continue
    return str(path)
