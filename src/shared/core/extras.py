"""How to install what an optional extra needs."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires


def install_command(extra: str) -> str:
    """The command that installs an extra's packages, by their own names: Trueline itself may be on no package index."""
    try:
        lines = requires("trueline") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return f"pip install -e '.[{extra}]' in the checkout of Trueline"
    marker = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    packages = [line.partition(";")[0].strip() for line in lines if marker.search(line)]
    return shlex.join(["pip", "install", *packages])
