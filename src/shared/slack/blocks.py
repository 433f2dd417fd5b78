"""Notifications as Block Kit, within Slack's limits: what is too long for one message is split over several.

Slack refuses a message of more than 50 blocks, a section of more than 3,000 characters, and, undocumented, one whose
blocks hold more than some 13,200 characters (`msg_blocks_too_long`). Characters are counted as UTF-16 does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from shared.core.clock import iso
from shared.core.ports import Notification, NotificationState

Block = dict[str, object]

_SECTION = 3000
_FIELD = 1000  # Slack takes 2,000, but not ten of them
_FIELDS = 10
_BLOCKS = 45
_MESSAGE = 12_000
_LINK = 2000

_STATES: dict[NotificationState, str] = {
    "noted": "",
    "opened": ":red_circle: ",
    "worsened": ":red_circle: Worse: ",
    "updated": ":red_circle: ",
    "reminded": ":red_circle: Still open: ",
    "resolved": ":white_check_mark: Resolved: ",
}


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """One message: its blocks, and `text` for notifications and screen readers, without which Slack warns."""

    text: str
    blocks: list[Block]


def render(notification: Notification) -> list[RenderedMessage]:
    """The message, and those that continue it in its thread."""
    title = f"{_STATES[notification.state]}{notification.title}"
    fallback = f"*{escape_for_slack(title)}*\n{escape_for_slack(notification.text)}".rstrip("\n")
    messages: list[list[Block]] = [[]]
    room = _MESSAGE
    for size, block in _blocks(notification, title):
        if size > room or len(messages[-1]) == _BLOCKS:
            messages.append([])
            room = _MESSAGE
        messages[-1].append(block)
        room -= size
    start = (split_for_slack(title, 200) or [""])[0]
    texts = [fallback if size_of(fallback) <= _SECTION else f"*{start}*"]
    texts += [f"{start} ({n}/{len(messages)})" for n in range(2, len(messages) + 1)]
    return [RenderedMessage(text, blocks) for text, blocks in zip(texts, messages, strict=True)]


def _blocks(notification: Notification, title: str) -> Iterator[tuple[int, Block]]:
    """Every block with its size."""
    for piece in split_for_slack(title, _SECTION - 2):
        yield _section(f"*{piece}*")
    for piece in split_for_slack(notification.text):
        yield _section(piece)
    yield from _facts(notification)
    for name, address in notification.links:
        for piece in _link(name, address):
            yield _section(piece)
    about = [notification.monitor, notification.severity, "" if notification.at is None else iso(notification.at)[:16]]
    for piece in split_for_slack(" · ".join(each for each in about if each)):
        yield size_of(piece), {"type": "context", "elements": [_text(piece)]}


def _facts(notification: Notification) -> Iterator[tuple[int, Block]]:
    """Short facts side by side, long ones below one another."""
    short: list[str] = []
    for name, value in notification.facts:
        said = f"*{escape_for_slack(name)}*\n{escape_for_slack(value)}"
        if size_of(said) <= _FIELD:
            short.append(said)
            continue
        for piece in split_for_slack(f"{name}: {value}"):
            yield _section(piece)
    for start in range(0, len(short), _FIELDS):
        fields = short[start : start + _FIELDS]
        yield sum(map(size_of, fields)), {"type": "section", "fields": [_text(each) for each in fields]}


def _section(text: str) -> tuple[int, Block]:
    return size_of(text), {"type": "section", "text": _text(text)}


def _text(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _link(name: str, address: str) -> list[str]:
    """A link, or its words where it is no address that Slack takes."""
    safe = quote(address, safe="/:?#[]@!$&'()*+,;=%~-._")
    words = escape_for_slack(name).replace("|", "/").replace("\n", " ")
    made = f"<{safe.replace('&', '&amp;')}|{words}>"
    is_link = urlsplit(address).scheme in ("http", "https") and size_of(made) <= _LINK
    return [made] if is_link else split_for_slack(f"{name}: {address}")


def escape_for_slack(text: str) -> str:
    """Text in which Slack finds no mention, no channel and no link: these three signs are its whole syntax for such
    things (`<!channel>`, `<@U123>`, `<address|words>`).
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def split_for_slack(text: str, most: int = _SECTION) -> list[str]:
    """The text escaped, in pieces of at most `most` characters, cut where a line or a word ends if there is such a
    place in the second half. Without their escapes the pieces are the text.
    """
    pieces = []
    while text:
        piece = _fitting(text, most)
        if len(piece) < len(text):
            cut = max(piece.rfind("\n"), piece.rfind(" "))
            piece = piece[: cut + 1] if cut >= len(piece) // 2 else piece
        pieces.append(escape_for_slack(piece))
        text = text[len(piece) :]
    return pieces


def _fitting(text: str, most: int) -> str:
    """As much of the text's beginning as fits when it is escaped."""
    piece = text[:most]
    while (size := size_of(escape_for_slack(piece))) > most:
        piece = piece[: max(1, min(len(piece) - 1, len(piece) * most // size))]
    return piece


def size_of(text: str) -> int:
    """Characters, as Slack counts them."""
    return len(text) + sum(each > "\uffff" for each in text)
