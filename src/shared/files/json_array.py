"""A JSON array cut into the texts of its elements, so that what is wrong with one of them is wrong with it alone."""

from __future__ import annotations

import codecs
import json
import re

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
_ESCAPE = re.compile(r'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|\\')
_OPEN, _CLOSE = (b"[", b"{"), (b"]", b"}")


def split_array(raw: bytes) -> list[bytes] | None:
    """The texts of the elements; None where brackets and quotes do not show where each begins and ends."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    found: list[bytes] = []
    depth = start = 0
    for match in _TOKEN.finditer(raw):
        token = match[0]
        depth += token in _OPEN
        if depth == 1 and token == b"[":
            start = match.end()
        elif depth == 1 and token in (b",", b"]"):
            found.append(raw[start : match.start()])
            start = match.end()
        depth -= token in _CLOSE
        if depth == 0:  # of an array that is whole, the end
            break
    if depth or raw[start - 1 : start] != b"]" or raw[start:].strip():
        return None
    if len(found) == 1 and not found[0].strip():
        return []
    return found if all(map(_has_sound_bounds, found)) else None


def _has_sound_bounds(raw: bytes) -> bool:
    """Whether this is one JSON value, apart from its bytes, escapes and control characters: these move no bound."""
    text = _ESCAPE.sub(r"\1", raw.decode("utf-8", "replace"))
    try:
        json.loads(text, strict=False)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
