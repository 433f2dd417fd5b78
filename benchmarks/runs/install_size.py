"""What the core install weighs: site-packages of an environment made from requirements/core.txt, without pip.

python benchmarks/runs/install_size.py        makes one in a temporary folder (a minute or two), measures, removes it
python benchmarks/runs/install_size.py .venv  measures one that is there; one of `make test` holds the tools as well
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LIMIT_MB = 500
LOCK = Path(__file__).parents[2] / "requirements" / "core.txt"
# What every environment is born with, or needs only in order to be filled.
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")


def site_packages(environment: Path) -> Path:
    """Where the packages of an environment are."""
    found = sorted(environment.glob("lib/python3*/site-packages")) + sorted(environment.glob("Lib/site-packages"))
    if not found:
        raise SystemExit(f"{str(environment)!r} is not a virtual environment: no site-packages in it")
    return found[0]


def weigh(entry: Path) -> float:
    """Megabytes (10^6 bytes) of a file, or of a folder and all below it."""
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6


def weights(environment: Path) -> dict[str, float]:
    """Megabytes by top-level entry, largest first."""
    entries = [entry for entry in site_packages(environment).iterdir() if not entry.name.startswith(NOT_OURS)]
    found = {entry.name: weigh(entry) for entry in entries}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def install_core(environment: Path) -> None:
    """A fresh environment with the core lock."""
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)


def main() -> int:
    """Print the sizes; 1 when the whole is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", nargs="?", type=Path, help="a virtual environment; made afresh when left out")
    chosen = parser.parse_args().environment
    if chosen is not None:
        sizes = weights(chosen)
    else:
        with tempfile.TemporaryDirectory() as folder:
            install_core(Path(folder) / "venv")
            sizes = weights(Path(folder) / "venv")
    for name, size in list(sizes.items())[:12]:
        print(f"{size:8.1f} MB  {name}")
    total = sum(sizes.values())
    print(f"{total:8.1f} MB  in all (limit {LIMIT_MB})")
    return int(total > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
