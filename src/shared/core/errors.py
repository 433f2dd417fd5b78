"""Errors, grouped by what the caller does next.

    TruelineError
    ├ ConfigError        stop before any work; exit 2; no traceback
    │ └ UsageError       the command line itself is wrong; exit 2
    ├ TransientError     try again later
    │ ├ RateLimited      a server asks for fewer requests
    │ ├ Unavailable      a server cannot be reached, or fails
    │ └ BadAnswer        a server's answer cannot be used (HTML, no choices, broken JSON, too large, cut off)
    ├ ItemError          skip this one item or record, count it, go on
    │ └ Skip             an extractor says that the record is not the monitor's: left out, and no mistake
    ├ Postponed          leave this item to the next run: no failure, no try
    └ FatalError         stop the run; what is stored stays stored; exit 1
      ├ OverBudget       the budget allows no further call; exit 4
      ├ SourceError      the source cannot be read (missing file, truncated gzip)
      ├ StoreError       state cannot be read or written (corrupt file, read-only folder, full disk)
      └ BusyError        another run holds this monitor

Adapters translate their vendor's errors into these, so no room needs to know another room's vendor.
"""

from __future__ import annotations


class TruelineError(Exception):
    """Base of every error that Trueline raises on purpose."""


class ConfigError(TruelineError):
    """The configuration is wrong: nothing was started.

    `problems` holds one text per mistake found, each with place, found, expected and cure.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class UsageError(ConfigError):
    """The command line is wrong (an unknown flag, a config that is not there)."""


class TransientError(TruelineError):
    """Something outside failed in a way that may pass: worth another try."""


class RateLimited(TransientError):
    """A server asks for fewer requests; `wait` is for how many seconds, None where it does not say."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


def requested_wait(error: TransientError) -> float | None:
    """How many seconds a server asks to wait, where it does."""
    return error.wait if isinstance(error, RateLimited) else None


class Unavailable(TransientError):
    """A server cannot be reached, or fails."""


class BadAnswer(TransientError):
    """What a server sent cannot be used as an answer."""


class ItemError(TruelineError):
    """One item or record cannot be used; the others can."""


class Skip(ItemError):
    """The record is none of the monitor's, for the reason given: raised by an extractor, it is left out and counted."""


class Postponed(TruelineError):
    """The answer will come later: the item is left as it is, and the next run goes on with it."""


class FatalError(TruelineError):
    """The run cannot go on; what it has stored is kept."""


class OverBudget(FatalError):
    """The budget allows no further call of a model."""


class SourceError(FatalError):
    """The source cannot be read at all."""


class StoreError(FatalError):
    """State cannot be read or written."""


class BusyError(FatalError):
    """Another run holds this monitor's lock."""
