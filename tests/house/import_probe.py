"""Run in a fresh interpreter: import the modules named as arguments and print, as JSON, all they did besides.

Refused at once, whoever does it: sockets, subprocesses, writing, making, moving or deleting a file. Refused to our own
modules: reading a file. Compared before and after: the environment, the logging handlers, the working folder, the
hooks of the interpreter. Modules that are not ours may read their own data while they are imported.
"""

import contextlib
import importlib
import json
import logging
import os
import sys
import traceback
import warnings
from types import FrameType

SRC = sys.argv[1]
REFUSED = {
    "socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty",
    "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod",
    "os.chdir", "sqlite3.connect", "tempfile.mkstemp", "tempfile.mkdtemp",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def opened_by_us(frame: FrameType | None) -> bool:
    """Whether one of our modules asked for this file: it stands nearer than the machinery that imports modules."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return False
        if name.startswith(SRC):
            return True
        frame = frame.f_back
    return False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook: raise at what an import may not do."""
    if event in REFUSED:
        raise PermissionError(f"{event} while importing")
    if event != "open":
        return
    path, _, flags = arguments
    if isinstance(flags, int) and flags & WRITING and path != os.devnull:
        raise PermissionError(f"a file opened for writing while importing: {path!r}")
    if opened_by_us(sys._getframe(1)):
        raise PermissionError(f"a file read while importing: {path!r}")


def state() -> dict[str, str]:
    """What an import must leave as it was."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    handlers = [
        f"{logger.name}: {handler!r}"
        for logger in loggers
        for handler in logger.handlers
        if not isinstance(handler, logging.NullHandler)
    ]
    return {
        "environment": json.dumps(sorted(os.environ.items())),
        "logging handlers": json.dumps(handlers),
        "level of the root logger": str(logging.getLogger().level),
        "working folder": os.getcwd(),
        "sys.excepthook": repr(sys.excepthook),
        "warning filters of ours": json.dumps([repr(entry) for entry in warnings.filters if "shared" in repr(entry)]),
    }


def main(names: list[str]) -> None:
    """Import each and tell what went wrong with which."""
    found: dict[str, str] = {}
    sys.addaudithook(watch)
    for name in names:
        before = state()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                importlib.import_module(name)
        except Exception:  # noqa: BLE001 - whatever the import raised is what the test shows
            found[name] = traceback.format_exc(limit=-4)
            continue
        after = state()
        changed = [what for what, value in before.items() if after[what] != value]
        if changed:
            found[name] = f"changed: {', '.join(changed)}"
    print(json.dumps({"found": found, "loaded": sorted(sys.modules)}))


if __name__ == "__main__":
    main(sys.argv[2:])
