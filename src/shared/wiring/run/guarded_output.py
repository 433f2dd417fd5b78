"""What a command prints and logs: without secrets, and in SAFE_MODE without personal data."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self, TextIO

from shared.privacy.redact_logs import redacted_logs
from shared.privacy.redaction import TextCleaner, redact_or_withhold
from shared.privacy.secret_gate import SecretGate
from shared.privacy.secret_settings import secrets_of_variables


class GuardedOutput:
    """While it is entered, log records and everything written to standard output and error hold no known secret.

    Commands clean their texts before they lay them out; this also meets tracebacks, warnings, and what metrics print.
    `secrets` learns the secrets of a configuration while it is built; from `use` on, logs and errors are redacted by
    what the monitor chose.
    """

    def __init__(self, secrets: SecretGate) -> None:
        self.secrets = secrets
        self._cleaner: TextCleaner = secrets
        self._held = ExitStack()

    def use(self, cleaner: TextCleaner) -> None:
        """Redact with this from now on; nothing of a trace has been read before a monitor is built."""
        self._cleaner = cleaner
        if cleaner.hides_people:
            self._held.enter_context(redacted_logs(cleaner))

    def clean(self, text: str) -> str:
        """The text of an error as it may be printed."""
        return redact_or_withhold(self._cleaner, text)

    def __enter__(self) -> Self:
        self._held.enter_context(redacted_logs(self.secrets))
        for name in ("stdout", "stderr"):
            self._guard(name, getattr(sys, name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _guard(self, name: str, stream: TextIO | None) -> None:
        if not isinstance(stream, io.TextIOWrapper):
            return  # none at all, or one that a caller put there to read what is printed
        stream.flush()
        guarded = _GuardedStream(stream, self.secrets)
        setattr(sys, name, guarded)
        self._held.callback(_restore, name, stream, guarded)


def open_output(variables: Mapping[str, str]) -> GuardedOutput:
    """Output that hides the secrets of an environment, before any configuration is known."""
    return GuardedOutput(SecretGate(secrets_of_variables(variables)))


@contextmanager
def metrics_print_to_stderr() -> Iterator[None]:
    """Send what users' code prints, here and in its processes, to standard error: standard output is the report's."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


class _GuardedStream(io.TextIOWrapper):
    """Writes to the same file as another stream, without secrets."""

    def __init__(self, stream: io.TextIOWrapper, secrets: SecretGate) -> None:
        lines, unbuffered = stream.line_buffering, stream.write_through  # PYTHONUNBUFFERED, as containers set it
        super().__init__(stream.buffer, stream.encoding, stream.errors, None, lines, unbuffered)
        self._secrets = secrets

    def write(self, text: str) -> int:
        """Write the text; as many characters as were given count as written."""
        super().write(self._secrets.redact_output(text))
        return len(text)


def _restore(name: str, stream: TextIO, guarded: _GuardedStream) -> None:
    if getattr(sys, name) is guarded:
        setattr(sys, name, stream)
    try:
        guarded.flush()
    finally:
        guarded.detach()
