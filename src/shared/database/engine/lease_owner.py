"""Who holds a lease: a process by its host, its number and when it began, so that a dead one is known at once."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path


def new_owner() -> str:
    """A name for one holder in this process; no other has the same."""
    return f"{socket.gethostname()}|{os.getpid()}|{_began(os.getpid())}|{uuid.uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Whether the holder is a process of this host that has ended; of other hosts nothing is known but the lease."""
    host, _, rest = owner.partition("|")
    number, _, rest = rest.partition("|")
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # of another user: it lives
        pass
    began = rest.partition("|")[0]
    return bool(began) and began != _began(int(number))  # the number was given to another process since


def _began(number: int) -> str:
    """When the process began, in the kernel's own count; empty where the system does not say."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
