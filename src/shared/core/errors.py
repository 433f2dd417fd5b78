"""Errors, grouped by what the caller does next.

    TruelineError
    ├ ConfigError        stop before any work; exit 2; no traceback
    │ └ UsageError       the command line itself is wrong; exit 2
    ├ TransientError     try again later
    │ ├ RateLimited      a server asks for fewer requests
    │ ├ Unavailable      a server cannot be reached, or fails
    │ └ BadAnswer        a server's answer cannot be used (HTML, no choices, broken JSON, too large, cut off)
    ├ Postponed          cannot be finished in this run; the next run goes on; neither a failure nor an attempt
    ├ ItemError          skip this one item or record, count it, go on
    └ FatalError         stop the run; what is stored stays stored; exit 1
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
    """A server asks for fewer requests."""


class Unavailable(TransientError):
    """A server cannot be reached, or fails."""


class BadAnswer(TransientError):
    """What a server sent cannot be used as an answer."""


class Postponed(TruelineError):
    """This cannot be finished in this run; the next run goes on."""


class ItemError(TruelineError):
    """One item or record cannot be used; the others can."""


class FatalError(TruelineError):
    """The run cannot go on; what it has stored is kept."""


class SourceError(FatalError):
    """The source cannot be read at all."""


class StoreError(FatalError):
    """State cannot be read or written."""


class BusyError(FatalError):
    """Another run holds this monitor's lock."""
