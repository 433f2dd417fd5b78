"""`trueline list`: everything that can be chosen by name."""

from __future__ import annotations

from argparse import Namespace

from shared.wiring.config.find_config import display_path, known_configs
from shared.wiring.config.registries import build_registries

_KINDS = ("sources", "sampling", "models", "metrics", "stores", "extractors", "labels", "notifiers")


def main(options: Namespace) -> int:
    """Print the known names of every kind, or of one."""
    registries = build_registries()
    for kind in _KINDS:
        if options.kind in (None, kind):
            print(f"{kind}:")
            registry = getattr(registries, kind)
            for entry in registry.entries():
                print(f"  {entry.name:28} {_first_line(registry.resolve(entry.name))}")
    if options.kind in (None, "configs"):
        print("configs:")
        for name, path in sorted(known_configs().items()):
            print(f"  {name:28} {display_path(path)}")
    return 0


def _first_line(target: object) -> str:
    return (target.__doc__ or "").strip().split("\n")[0]
