"""Commands without the second that their imports take: a process that has imported everything already, and forks.

`python -m tests.wiring.warm SCRIPT` reads requests from its standard input, a line of JSON each: the arguments, the
folder, the environment, and the files for what is printed. Each is run by a child of its own, so that nothing of one
command is left for the next; its exit code is written back.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import runpy
import struct
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

BOUND = "TRUELINE_TEST_BOUND"
"""A command with this variable is bound by the modes of files and folders, also when root runs it."""

OPTIONAL = ("alembic.command", "duckdb", "httpx", "jinja2.sandbox", "numpy", "psycopg", "sqlalchemy.dialects.sqlite")
"""What a command imports late."""


def main() -> None:
    """Serve until the standard input ends."""
    script = sys.argv[1]
    import shared  # its modules do nothing when they are imported: tests/house/test_imports.py

    for each in pkgutil.walk_packages(shared.__path__, "shared."):
        if ".migrations" not in each.name:
            with suppress(ImportError):  # of an extra that this environment does not have
                import_module(each.name)
    for name in OPTIONAL:
        import_module(name)
    gc.freeze()  # what is here for all commands is no garbage of one
    sys.path[0] = str(Path(script).parent)
    answers = os.dup(1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.close(answers)
            _become(json.loads(line), script)
            _end(_code(script))
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    gc.unfreeze()  # else DuckDB reports its objects as leaked


def _become(request: dict[str, object], script: str) -> None:
    """Take the place that a process started for this request would have."""
    arguments, environment = request["arguments"], request["environment"]
    assert isinstance(arguments, list) and isinstance(environment, dict)
    files = ((0, os.devnull, os.O_RDONLY), (1, request["out"], os.O_WRONLY), (2, request["err"], os.O_WRONLY))
    for stream, name, flags in files:
        opened = os.open(str(name), flags)
        os.dup2(opened, stream)
        os.close(opened)
    if environment.pop(BOUND, ""):
        _bind()
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [script, *arguments]


def _bind() -> None:
    """Give up root's right to write what its mode forbids: the capabilities 1 and 2, CAP_DAC_*, of Linux."""
    if os.geteuid():
        return
    version, kept = 0x20080522, ~0b110 & 0xFFFFFFFF
    header = struct.pack("=Ii", version, 0)
    held = struct.pack("=6I", kept & _held(0), kept & _held(0), 0, _held(32), _held(32), 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, held):
        raise OSError(ctypes.get_errno(), "capset")


def _held(shift: int) -> int:
    """32 of the capabilities that this process may have."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm"))
    return int(found.split()[1], 16) >> shift & 0xFFFFFFFF


def _code(script: str) -> int:
    """Run the script; its exit code."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _end(code: int) -> None:
    """End as an interpreter does, but for taking apart every module that was imported."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the end of the interpreter does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
