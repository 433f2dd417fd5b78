"""Entities: patterns and words of the user's own that are redacted, with a limit of time for each text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.core.errors import FatalError
from shared.privacy.addresses import Span

if TYPE_CHECKING:
    import regex

ENTITY_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
ENTITY_SECONDS = 1.0
"""How long the pattern of an entity may look at one text."""


class EntityTimeout(FatalError):
    """The pattern of an entity ran out of time, so that nobody knows what the text holds: nothing of it is shown."""


def find_entity(name: str, pattern: regex.Pattern[str], text: str) -> list[Span]:
    """Where the pattern matches.

    Raises:
        EntityTimeout: when that takes longer than `ENTITY_SECONDS`.
    """
    try:
        hits = pattern.finditer(text, timeout=ENTITY_SECONDS, concurrent=True)  # its time is that of all hits together
        return [hit.span() for hit in hits if hit[0].strip() and "\0" not in hit[0]]
    except TimeoutError:
        raise EntityTimeout(
            f"privacy.entities.{name}: the pattern took longer than {ENTITY_SECONDS:g} s on a text of {len(text):,} "
            "characters, so the text is withheld. Change the pattern: a repetition inside a repetition, such as (a+)+, "
            "takes time without end"
        ) from None


def compile_entity(name: str, pattern: str | tuple[str, ...], taken: tuple[str, ...]) -> regex.Pattern[str]:
    """The pattern of an entity.

    Raises:
        ValueError: when its name or its pattern cannot be used.
    """
    if not ENTITY_NAME.fullmatch(name) or name in taken:
        raise ValueError(f"entity {name!r}: expected a name in capitals that is not one of {', '.join(taken)}")
    if isinstance(pattern, str):
        source, flags = pattern, re.NOFLAG
    else:
        words = sorted((each for each in pattern if each.strip()), key=len, reverse=True)
        source, flags = r"(?<!\w)(?:" + "|".join(map(re.escape, words)) + r")(?!\w)", re.IGNORECASE
        pattern = "".join(words)
    try:
        re.compile(source, flags)
        import regex  # late: it has a limit of time, and few monitors have entities

        made = regex.compile(source, int(flags))
    except (re.error, ValueError) as error:
        raise ValueError(f"entity {name!r}: {pattern!r} is not a regular expression: {error}") from error
    if not pattern or made.search(""):
        raise ValueError(f"entity {name!r}: expected a pattern that needs at least one character, found {pattern!r}")
    return made
