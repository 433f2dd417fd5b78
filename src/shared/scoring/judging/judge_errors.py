"""What can be wrong with a judge's answer. The class's name is the kind under which the failure is recorded.

    JudgeError
    ├ JudgeEmpty        nothing, or white space
    ├ JudgeHtml         a page instead of an answer
    ├ JudgeProse        no JSON, or text around it
    ├ JudgeMalformed    JSON of another shape than was asked for (a key missing, unknown or doubled, another type)
    ├ JudgeNotFinite    NaN or infinity for a number
    ├ JudgeOutOfScale   a value that the scale does not have
    ├ JudgeTruncated    cut off by `max_tokens`
    ├ JudgeRefused      the model or its provider would not answer
    ├ JudgeInjected     the verdict is not the judge's own (no check value, an echo, or what the judged text dictates)
    └ JudgeTooLong      a text is longer than the judge is shown; nothing was asked

A judge that is rate limited, out of reach or too slow fails with the adapter's error or the runner's `Timeout`.
"""

from __future__ import annotations

from shared.core.errors import ItemError

_SHOWN = 120  # characters of what was found


class JudgeError(ItemError):
    """A judge gave no verdict that can be used. `cost` is what the tries cost in US dollars, where that is known."""

    cost: float | None = None


class JudgeEmpty(JudgeError):
    """The answer is empty."""


class JudgeHtml(JudgeError):
    """The answer is a page."""


class JudgeProse(JudgeError):
    """The answer is no JSON, or not only JSON."""


class JudgeMalformed(JudgeError):
    """The answer is JSON of another shape than was asked for."""


class JudgeNotFinite(JudgeError):
    """The answer has NaN or infinity for a number."""


class JudgeOutOfScale(JudgeError):
    """The answer has a value that the scale does not have."""


class JudgeTruncated(JudgeError):
    """The answer was cut off by its length."""


class JudgeRefused(JudgeError):
    """The model or its provider would not answer."""


class JudgeInjected(JudgeError):
    """The answer carries signs that the judged text wrote it."""


class JudgeTooLong(JudgeError):
    """A text is longer than the judge is shown."""


def quote_excerpt(found: object) -> str:
    """The beginning of what was found, on one line and printable, for an error's message."""
    text = found if isinstance(found, str) else repr(found)
    text = " ".join(text[: 4 * _SHOWN].split())
    cut = text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")
    return ascii(cut) if not cut.isprintable() else repr(cut)
