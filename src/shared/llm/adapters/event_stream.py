"""Server-sent events of a chat: the pieces of text in them, and whether the answer came to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from shared.core.errors import BadAnswer

_DATA = b"data:"


async def read_pieces(parts: AsyncIterator[bytes], where: str, clean: Callable[[str], str]) -> AsyncGenerator[str]:
    """The text of each event, as it comes. Lines end where bytes say so: a text may hold any other separator.

    Raises:
        BadAnswer: for an event that is no JSON, an error in the stream, or a stream without an end: a server that
            closes in the middle has not answered.
    """
    ended = False
    async for event in read_events(parts):
        if event == b"[DONE]":
            break
        text, reason = _read_event(event, where, clean)
        ended = ended or reason is not None
        if text:
            yield text
    if not ended:
        raise BadAnswer(f"{where}: the stream ended in the middle of the answer")


async def read_events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each line that holds some; comments and other fields are left out."""
    rest = bytearray()
    async for part in parts:
        rest += part
        if b"\n" not in part:
            continue
        *lines, tail = bytes(rest).split(b"\n")
        rest = bytearray(tail)
        for line in lines:
            if line.startswith(_DATA):
                yield line[len(_DATA) :].strip()
    if rest.startswith(_DATA):
        yield bytes(rest[len(_DATA) :]).strip()


def _read_event(event: bytes, where: str, clean: Callable[[str], str]) -> tuple[str, str | None]:
    try:
        found = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"{where}: an event of the stream is no JSON ({error})") from error
    if not isinstance(found, dict) or found.get("error"):
        raise BadAnswer(f"{where}: the stream broke off: {clean(json.dumps(found))}")
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}  # usage comes in an event without choices
    choice = choice if isinstance(choice, dict) else {}
    delta = choice.get("delta")
    content = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    reason = choice.get("finish_reason")
    return content if isinstance(content, str) else "", None if reason is None else str(reason)
