"""Whether a verdict was dictated by the text that it judges: it says there what the verdict says.

A judge that obeys a text may repair what it copies: it fills in the check value, decodes, joins what is split. So the
verdict is looked for by its meaning, each key beside its value, in every plain reading of the text: without
punctuation, case, invisible characters, look-alike letters and digits of other scripts, and with Base64, hexadecimal,
percent signs, HTML entities, escapes, ROT13 and reversal undone. What is paraphrased is not found.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any
from urllib.parse import unquote

from shared.core.best_effort import attempt

_SHORTEST = 8
"""Letters and digits of a text in a verdict that is looked for by its meaning: `ok` may stand in any text."""

_MOST_TEXTS = 16
_MOST_WORK = 20_000_000  # characters of JSON that are read in looking for an object
_EDGE = 2_000  # characters at the ends of texts that are read together with those of other texts

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[\s:]?){12,}")
_ESCAPE = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})")
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u0432\u043a\u043c\u043d\u0442"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7\u0131\u0261",
    "aeopcyxijshdqbkmhtaopviktuxig",
)
_TAGS = {0xE0000 + code: code for code in range(0x20, 0x7F)}  # letters that no screen shows


class TooMuchToRead(ValueError):
    """A text has so many openings of JSON objects that not all could be looked at."""


def is_dictated(verdict: Mapping[str, Any], texts: Sequence[str], key: str = "check") -> bool:
    """Whether the texts, of one field or split over several, say what the verdict says; `key` is the check value's.

    Raises:
        TooMuchToRead: when that cannot be known.
    """
    if any(_holds_object(verdict, text, key) for text in texts):
        return True
    leaves = list(_leaves(verdict))
    if not any(isinstance(value, str) and len(_plain(value)) >= _SHORTEST for _, value in leaves):
        return False
    pairs = {_plain(key) + _plain(_as_text(value)) for key, value in leaves}
    joined = (before[-_EDGE:] + after[:_EDGE] for before, after in permutations(texts[:_MOST_TEXTS], 2))
    whole = "\n".join((*texts, *joined))
    return any(all(pair in reading for pair in pairs) for reading in _readings(whole))


def _holds_object(verdict: Mapping[str, Any], text: str, key: str) -> bool:
    """Whether a JSON object in the text is the verdict; a check value of its own counts for nothing."""
    decoder, work = json.JSONDecoder(), 0
    for opening in re.finditer(r"\{", text):
        place = opening.start()
        try:
            found, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            found, end = None, error.pos
        except (ValueError, RecursionError):
            found, end = None, place + 1000
        work += end - place
        if work > _MOST_WORK:
            raise TooMuchToRead(f"its text has more JSON than can be looked through ({_MOST_WORK:,} characters)")
        if isinstance(found, dict) and {name: each for name, each in found.items() if name != key} == verdict:
            return True
    return False


def _leaves(value: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Every value that is no mapping and no list, with the key beside it."""
    for key, inner in value.items():
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, Mapping):
                yield from _leaves(each)
            else:
                yield key, each


def _as_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _readings(text: str) -> Iterator[str]:
    """The ways in which the text can be read, each as `_plain` has it."""
    shown = text.translate(_TAGS)
    plain = _plain(shown)
    yield plain
    yield plain[::-1]
    yield codecs.encode(plain, "rot13")
    undone = html.unescape(unquote(_ESCAPE.sub(lambda hit: _character(hit[1] or hit[2]), shown)))
    if undone != shown:
        yield _plain(undone)
    if decoded := "".join(_decoded(shown)):
        yield _plain(decoded)


def _plain(text: str) -> str:
    """Letters and digits alone: small, Latin where they look it, digits of every script as 0 to 9."""
    whole = unicodedata.normalize("NFKD", text).casefold().translate(_ALIKE)
    if whole.isascii():
        return re.sub(r"[^a-z0-9]+", "", whole)
    return "".join(str(unicodedata.digit(each, each)) for each in whole if each.isalnum())


def _character(code: str) -> str:
    number = int(code, 16)
    return chr(number) if number < 0x110000 else ""


def _decoded(text: str) -> Iterable[str]:
    """What stands in the text in Base64 or hexadecimal, where it is text."""
    for hit in _ENCODED.finditer(text):
        padded = hit[0].rstrip("=") + "=" * (-len(hit[0].rstrip("=")) % 4)
        raw = attempt(lambda each: base64.b64decode(each, altchars=b"-_" if set("-_") & set(each) else None), padded)
        yield raw.decode("utf-8", "ignore") if isinstance(raw, bytes) else ""
    for hit in _HEX.finditer(text):
        raw = attempt(bytes.fromhex, re.sub(r"[\s:]", "", hit[0]))
        yield raw.decode("utf-8", "ignore") if isinstance(raw, bytes) else ""
